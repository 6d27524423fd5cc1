"""A session that was opened before others wrote: Iceberg's catalog keeps the tables that it has read for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.maintain.takedown.run_takedown import finish_takedowns, take_down
from pipeline.maintain.takedown.targets import Target
from pipeline.maintain.takedown.victims import find_object
from pipeline.model.layout import WAREHOUSE
from pipeline.model.objects import BLOB, object_id
from pipeline.model.origin import bucket_of
from pipeline.read.archive import Archive
from pipeline.read.connect import ServedViews
from pipeline.read.names import NAMES
from pipeline.read.submit.results import Lineage, write_result
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import see
from pipeline.tables.iceberg import see_current
from pipeline.tables.tombstones import current, pending, set_pending, set_removed
from pipeline.tables.writer import unleased
from tests.night.test_nights import finish, flip_statistics, two_nights
from tests.tables.conftest import night
from tests.tables.landing import BUCKETS
from tests.tables.test_writers import first_night, session_beside

TAKEN = object_id(BLOB, b"1\n")


def take(spark: SparkSession, storage: Storage, scratch: Path) -> None:
    take_down(spark, storage, [Target(oid=TAKEN)], reason="by letter", by="us", scratch=scratch)


def oids(rows: DataFrame) -> set[bytes]:
    return {bytes(row["oid"]) for row in rows.select("oid").collect()}


def ids_again(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def test_what_others_took_down_is_not_shown_by_a_session_that_has_read_it(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    """The files were rewritten, so no reader filters any more, and the night's tag is another snapshot's."""
    origin, _, _ = two_nights(spark, storage)
    archive = Archive(spark, night(2), storage)
    bucket = bucket_of(origin.network, BUCKETS)
    readers: dict[str, Callable[[], set[bytes]]] = {
        "table": lambda: oids(archive.table("contents")),
        "sql": lambda: oids(archive.sql("SELECT oid FROM head_blobs")),
        "content_places": lambda: oids(archive.content_places()),
        "map_contents": lambda: oids(archive.map_contents(ids_again, "oid binary", columns=["oid"])),
        "objects": lambda: {found.oid for found in archive.objects(origin.network, bucket)},
    }
    assert [name for name, read in readers.items() if TAKEN not in read()] == []
    others = session_beside(spark)
    take(others, storage, tmp_path)
    finish_takedowns(unleased(others), storage, tmp_path)
    set_removed(others, pending(others))  # which the unfinished loads of this archive prevent
    assert [name for name, read in readers.items() if TAKEN in read()] == []


def test_views_of_a_server_follow_takedowns(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once when rows must be hidden, and again when the files are others: then the old ones are soon deleted."""
    two_nights(spark, storage)
    others, views = session_beside(spark), ServedViews(Archive(spark, None, storage), night(2))
    made: list[str] = []
    table = Archive.table

    def noted(self: Archive, name: str, night: date | None = None) -> DataFrame:
        made.append(name)
        return table(self, name, night)

    monkeypatch.setattr(Archive, "table", noted)

    def shown() -> set[bytes]:
        views.look()
        return oids(spark.table("global_temp.contents"))

    assert TAKEN in shown()
    take(others, storage, tmp_path)
    assert TAKEN not in shown()
    finish_takedowns(unleased(others), storage, tmp_path)
    assert TAKEN not in shown()
    assert sorted(made) == sorted([*NAMES] * 3)
    views.look()
    assert len(made) == 3 * len(NAMES)
    for name in NAMES:
        spark.catalog.dropGlobalTempView(name)


def test_a_takedown_that_ends_while_tables_are_looked_up_holds(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, _, _ = two_nights(spark, storage)
    archive = Archive(spark, None, storage)
    others = session_beside(spark)
    take(others, storage, tmp_path)
    (takedown,) = pending(others)

    def ending_after(look: Callable[..., Any]) -> Callable[..., Any]:
        """As if the files were rewritten right after this look at the table, which still names the old ones."""

        def looked(spark: SparkSession, table: str) -> Any:
            found = look(spark, table)
            if table == "contents":
                set_removed(others, [takedown])
            return found

        return looked

    monkeypatch.setattr("pipeline.read.archive.see_current", ending_after(see_current))
    monkeypatch.setattr("pipeline.tables.tombstones.see", ending_after(see))
    readers: dict[str, Callable[[], set[bytes]]] = {
        "table": lambda: oids(archive.table("contents")),
        "content_places": lambda: oids(archive.content_places()),
        "map_contents": lambda: oids(archive.map_contents(ids_again, "oid binary", columns=["oid"])),
        "objects": lambda: {found.oid for found in archive.objects(origin.network, bucket_of(origin.network, BUCKETS))},
        "current": lambda: oids(current(spark, "contents")),
    }
    shown = {}
    for name, read in readers.items():
        set_pending(others, takedown)
        shown[name] = read()
    assert [name for name, found in shown.items() if TAKEN in found or not found] == []


def test_a_result_that_others_made_again_is_read_by_its_full_name(spark: SparkSession, storage: Storage) -> None:
    two_nights(spark, storage)
    archive, others = Archive(spark, None, storage), session_beside(spark)
    for number in (1, 2):
        write_result(others, storage, Lineage("counted", "1", (), night(2), {}), others.sql(f"SELECT {number} AS n"))
        for name in ("archive.results.counted", "`archive` . results.`counted`"):
            assert [row.n for row in archive.sql(f"SELECT n FROM {name}").collect()] == [number]
    (row,) = archive.sql("SELECT 'archive.2024.01' AS n").collect()
    assert row.n == "archive.2024.01"


def test_footers_of_files_that_others_added_are_checked(spark: SparkSession, storage: Storage) -> None:
    origin, _, _ = two_nights(spark, storage)
    data = f"{WAREHOUSE}/code/blobs/data"
    before = {file.path for file in storage.walk(data)}
    new = object_id(BLOB, b"5\n")
    assert find_object(spark, storage, new) == []
    finish(session_beside(spark), storage, first_night(storage, origin, 5, b"5\n"))
    for path in {file.path for file in storage.walk(data)} - before:
        flip_statistics(storage, path, new)
    with pytest.raises(StoredFileDamaged, match="/blobs/data/"):
        find_object(spark, storage, new)
