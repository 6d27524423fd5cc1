"""Counts read from files, against what Spark counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import ALL, OBJECT_TABLES
from pipeline.read.status import archive_status, origin_status, origins_list
from pipeline.storage.interface import Storage
from pipeline.tables.doubles import one_row_a_url
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.refs import current_refs
from pipeline.tables.tombstones import current
from tests.night.test_nights import FORK, OTHER, URL
from tests.read.grown import GONE, grow


def counted(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value or "never" for value in values))


def double_origins(spark: SparkSession) -> None:
    """Rows that an earlier version could make: the same URL twice, of which one is paused, or was visited later."""
    name = full_name("origins")
    columns = ", ".join(spark.table(name).columns)
    for change in ("'paused' AS state", "CAST(NULL AS timestamp) AS last_visit, 'failed' AS last_status"):
        names = [part.rpartition(" AS ")[2] for part in change.split(", ")]
        kept = f"SELECT * EXCEPT ({', '.join(names)}), {change} FROM {name} WHERE url IN ('{URL}', '{FORK}')"
        spark.sql(f"INSERT INTO {name} SELECT {columns} FROM ({kept})")


@pytest.mark.slow
def test_status_and_origins_are_what_spark_counts(spark: SparkSession, storage: Storage) -> None:
    grow(spark, storage)
    double_origins(spark)
    there = one_row_a_url(current(spark, "origins")).orderBy("url").toArrow().to_pylist()
    assert [row["url"] for row in there] == [URL, FORK, OTHER], "what was taken down is not told"
    assert origins_list(storage) == there
    status = archive_status(storage, datetime.now(UTC).date())
    assert status.origins == counted(row["state"] for row in there)
    assert set(status.origins) == {"paused", "opted_out"}
    assert status.last_visits == counted(row["last_status"] for row in there)
    rows = {table.name: spark.table(full_name(table.name)).count() for table in OBJECT_TABLES}
    assert status.objects == rows
    assert status.raw_bytes == current(spark, "blobs").agg(F.sum("size")).collect()[0][0]
    books = [IcebergTable(spark, table.name).current() for table in ALL]
    assert status.stored_bytes == sum(int(book.summary["total-files-size"]) for book in books if book)


@pytest.mark.slow
def test_an_origin_is_told_as_spark_reads_it(spark: SparkSession, storage: Storage) -> None:
    grow(spark, storage)
    double_origins(spark)
    for url in (URL, FORK, OTHER):
        found = origin_status(storage, url)
        row = one_row_a_url(current(spark, "origins").where(F.col("url") == url)).toArrow().to_pylist()[0]
        assert (found.state, found.added_at, found.next_due) == (row["state"], row["added_at"], row["next_due"])
        mine = F.col("origin") == url
        visits = spark.table(full_name("visits")).where(mine).orderBy(F.col("started_at").desc()).toArrow().to_pylist()
        assert [(visit.started_at, visit.error) for visit in found.visits] == [
            (visit["started_at"], visit["error"]) for visit in visits
        ]
        refs: list[Any] = current_refs(spark.table(full_name("refs")).where(mine)).orderBy("name").collect()
        assert [(ref.name, ref.target, ref.since) for ref in found.refs] == [
            (ref.name, ref.target and bytes(ref.target).hex(), ref.night) for ref in refs
        ]
    assert GONE not in [row["url"] for row in origins_list(storage)]
