"""Commits that remove and add single rows: what they write follows what changed, not the size of a bucket.

Removed rows become entries of deletion vectors, which ``maintain`` merges into the files. The statement commits a
snapshot that no reader sees; then that snapshot becomes the current one, on the condition that the table is still as it
was when the caller looked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from uuid import uuid4

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.tables.conflicts import Seen, nothing, overwrite
from pipeline.tables.iceberg import in_buckets
from pipeline.tables.session import configured

CHANGED_BY_ROW = {
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    "write.merge.mode": "merge-on-read",
    "write.wap.enabled": "true",
}
"""Properties of a table that ``change_rows`` needs."""

MOST_WRITTEN = 3
"""Buckets are written anew if at most so many times as many rows are written as change: that takes half the time."""

MOST_NETWORKS = 1000
"""Networks that a statement lists, so that nothing else is read; each takes some twenty bytes of it."""

_STAGED = "wap.id"
_CONF = "spark.wap.id"
_PROPERTY = "spark.sql.iceberg.snapshot-property."
_VIEW = "rows_that_change"
_GONE = "_gone"


@dataclass(frozen=True, slots=True)
class RowChange:
    """Rows of a table to remove and to add.

    Attributes:
        new: rows with the columns of the table.
        new_count: how many; 0 if ``new`` is empty.
        gone: keys of rows to remove, each once; its columns are compared so that null equals null. ``new`` may have
            rows with the same keys.
        gone_count: how many; 0 if ``gone`` is empty.
        buckets: those of all these rows.
        networks: those of all these rows; None if they are unknown.
    """

    new: DataFrame
    new_count: int
    gone: DataFrame
    gone_count: int
    buckets: Collection[int]
    networks: Collection[int] | None = None


def in_places(buckets: Collection[int], networks: Collection[int]) -> Column:
    """The condition that restricts a scan to some buckets and, if they are few, networks; others may be read, too."""
    among = in_buckets(buckets)
    return among & F.col("network").isin(sorted(networks)) if len(networks) <= MOST_NETWORKS else among


def is_written_anew(rows: int, new: int, gone: int) -> bool:
    """Whether a change writes buckets anew, so many rows in the end; if not, it adds rows and marks others removed."""
    return rows <= MOST_WRITTEN * max(new, gone)


def change_rows(seen: Seen, change: RowChange, properties: Mapping[str, str] | None = None) -> None:
    """Make a change in one commit, unless others changed the table since.

    Args:
        seen: the state that the change is based on.
        properties: kept in the snapshot's summary.

    Raises:
        Py4JJavaError, StagedOnAnother: nothing was committed; ``is_conflict`` says whether other writers were the
            cause.
    """
    if seen.snapshot is None or not change.gone_count:
        overwrite(change.new, seen, nothing(), properties)
        return
    rows = seen.rows().where(in_buckets(change.buckets))
    written = rows.count() - change.gone_count + change.new_count  # counted in Iceberg's metadata
    if is_written_anew(written, change.new_count, change.gone_count):
        kept = _without(rows, change.gone).select(*change.new.columns)
        overwrite(kept.unionByName(change.new), seen, in_buckets(change.buckets), properties)
    else:
        _merge(seen, seen.snapshot, change, properties or {})


def _without(rows: DataFrame, gone: DataFrame) -> DataFrame:
    keys = gone.select(*(F.col(name).alias(f"{name}_") for name in gone.columns))
    same = [rows[name].eqNullSafe(keys[f"{name}_"]) for name in gone.columns]
    return rows.join(keys, reduce(and_, same), "left_anti")


def _merge(seen: Seen, snapshot: int, change: RowChange, properties: Mapping[str, str]) -> None:
    spark, staged = seen.spark, uuid4().hex
    source = change.gone.withColumn(_GONE, F.lit(True)).unionByName(
        change.new.withColumn(_GONE, F.lit(False)), allowMissingColumns=True
    )
    source.createOrReplaceTempView(_VIEW)
    conf = {_CONF: staged, **{f"{_PROPERTY}{name}": value for name, value in properties.items()}}
    try:
        with seen.iceberg.committing(), configured(spark, conf):
            spark.sql(change_statement(seen.name, change))
        seen.iceberg.publish_staged(_STAGED, staged, snapshot)
        spark.catalog.refreshTable(seen.name)
    finally:
        spark.catalog.dropTempView(_VIEW)


def change_statement(table: str, change: RowChange) -> str:
    """The MERGE of ``change_rows``. Buckets and, if they are few, networks are literals: nothing else is read."""
    among = f"t.bucket IN ({_listed(change.buckets)})"
    if change.networks is not None and len(change.networks) <= MOST_NETWORKS:
        among += f" AND t.network IN ({_listed(change.networks)})"
    same = " AND ".join(f"t.{name} <=> s.{name}" for name in change.gone.columns)
    columns = change.new.columns
    values = ", ".join(f"s.{name}" for name in columns)
    return (
        f"MERGE INTO {table} t USING {_VIEW} s ON {among} AND s.{_GONE} AND {same} "  # noqa: S608 - names of ours
        f"WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND NOT s.{_GONE} THEN INSERT ({', '.join(columns)}) "
        f"VALUES ({values})"
    )


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
