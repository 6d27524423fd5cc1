"""Tables read from their files, against what Spark reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE
from pipeline.model.objects import BLOB, object_id
from pipeline.model.tables import BY_NAME, LANDED
from pipeline.model.tombstone import ANYWHERE, OBJECT, ORIGIN, Tombstone
from pipeline.read import stored
from pipeline.read.nights import NightNotFound, NotAnArchive
from pipeline.read.stored import StoredTables
from pipeline.storage.errors import StorageError, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import full_name
from pipeline.tables.snapshot import live_files
from pipeline.tables.snapshot.metadata import TableMetadata, read_metadata
from pipeline.tables.snapshot.rows import ROW_ID
from pipeline.tables.tombstones import add_tombstones, hidden_now, set_removed
from tests.night.test_nights import URL, two_nights
from tests.tables.conftest import ADDED, add, night
from tests.tables.landing import BUCKETS


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=repr)


def through_spark(spark: SparkSession, table: str, *, tag: str | None = None) -> list[dict[str, Any]]:
    reader = spark.read if tag is None else spark.read.option("versionAsOf", tag)
    rows = reader.table(full_name(table)).select(*BY_NAME[table].column_names, ROW_ID)
    return in_order(rows.toArrow().to_pylist())


def from_files(tables: StoredTables, table: str, bucket: int | None = None) -> list[dict[str, Any]]:
    return in_order(list(tables.rows(table, [*BY_NAME[table].column_names, ROW_ID], {}, bucket)))


def delete_rows(spark: SparkSession, table: str, condition: str) -> None:
    """Delete rows by deletion vectors."""
    spark.sql(f"ALTER TABLE {full_name(table)} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql(f"DELETE FROM {full_name(table)} WHERE {condition}")
    assert spark.sql(f"SELECT content FROM {full_name(table)}.delete_files").collect(), "Spark wrote no deletion vector"


def test_tables_read_from_files_as_through_spark(spark: SparkSession, storage: Storage) -> None:
    """Among them rows with deletion vectors, and the row numbers that say which change of a ref came last."""
    two_nights(spark, storage)
    spark.sql(f"DELETE FROM {full_name('refs')} WHERE name = 'refs/heads/old' AND target IS NOT NULL")
    delete_rows(spark, "contents", "name = 'a.py'")
    for day, names in ((2, ("refs", "origins")), (3, ("refs", "contents"))):
        tables = StoredTables(storage, night(day))
        for name in names:
            there = through_spark(spark, name, tag=f"night-{night(day)}")
            assert from_files(tables, name) == there, (day, name)
    newest = StoredTables(storage)
    assert newest.night == night(3)
    for name in ("refs", "contents"):
        # With no night, what the current snapshot says, as a takedown reads it.
        newest.night = None
        there = through_spark(spark, name)
        assert from_files(newest, name) == there
        parts = [row for bucket in range(BUCKETS) for row in from_files(newest, name, bucket)]
        assert in_order(parts) == there
    network = spark.table(full_name("origins")).first().network
    mine = list(newest.rows("refs", ["name"], {"network": network, "origin": URL}))
    assert len(mine) == len(from_files(newest, "refs"))
    assert list(newest.rows("refs", ["name"], {"network": network + BUCKETS, "origin": URL})) == []


def test_nights_and_damage_are_told(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(NotAnArchive):
        StoredTables(LocalStorage(tmp_path))
    two_nights(spark, storage)
    with pytest.raises(NightNotFound, match="no night 2026-11-09; the archive has 2"):
        StoredTables(storage, night(9))
    tables = StoredTables(storage)
    (file, *_) = tables.files("contents")
    data = storage.read(file.path)
    storage.delete(file.path)
    with pytest.raises(StoredFileDamaged, match=r"contents/data/.*the file is gone"):
        list(tables.rows("contents", ["oid"], {}))
    storage.create(file.path, data)
    for path in sorted(e.path for e in storage.walk(f"{WAREHOUSE}/code/trees/metadata") if e.path.endswith("-m0.avro")):
        storage.replace(path, storage.read(path)[:-40])
    with pytest.raises(StoredFileDamaged, match=r"trees/metadata/.*does not match Hadoop's checksum file"):
        tables.files("trees")


def test_deletes_of_an_unknown_kind_are_an_error(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_nights(spark, storage)
    delete_rows(spark, "refs", "name = 'HEAD'")
    records = live_files._records

    def without_places(storage: Storage, uri: str) -> list[dict[str, Any]]:
        found = records(storage, uri)
        for row in found:
            if row.get("data_file", {}).get("content"):
                row["data_file"]["content_offset"] = None
        return found

    monkeypatch.setattr(live_files, "_records", without_places)
    tables = StoredTables(storage)
    tables.night = None
    with pytest.raises(StorageError, match="deletes rows in a way that only Spark reads"):
        tables.files("refs")


def test_metadata_is_read_at_once_and_takedowns_first(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The night may be retired, and rows may be taken down, while a restore goes on."""
    two_nights(spark, storage)
    read: list[str] = []

    def noted(storage: Storage, table: str) -> TableMetadata | None:
        read.append(table)
        return read_metadata(storage, table)

    monkeypatch.setattr(stored, "read_metadata", noted)
    tables = StoredTables(storage, night(2))
    assert read[0] == "takedowns"
    for table in LANDED:
        for entry in storage.list(f"{WAREHOUSE}/code/{table.name}/metadata"):
            if entry.path.endswith(".metadata.json"):
                storage.delete(entry.path)
    assert [table.name for table in LANDED if not tables.files(table.name)] == []


def test_only_tombstones_in_question_become_objects(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(spark, URL)
    ids = [object_id(BLOB, b"%d" % number) for number in range(4)]
    places: tuple[dict[str, Any], ...] = ({"network": 1, "bucket": 1}, {"network": 2, "bucket": 2})
    for number, place in enumerate(places):
        stones = [Tombstone(f"t{number}", OBJECT, ADDED, oid=oid, **place) for oid in ids[number : number + 2]]
        add_tombstones(spark, [*stones, Tombstone(f"t{number}", ORIGIN, ADDED, url=f"{URL}{number}", **place)])
    add_tombstones(spark, [Tombstone("t2", ANYWHERE, ADDED, oid=ids[3])])
    set_removed(spark, ["t0"])
    made: list[Tombstone] = []

    def noted(**row: Any) -> Tombstone:
        made.append(Tombstone(**row))
        return made[-1]

    monkeypatch.setattr(stored, "Tombstone", noted)
    monkeypatch.setattr(noted, "__slots__", Tombstone.__slots__, raising=False)
    tables = StoredTables(storage)
    assert tables.taken_down(1) == {ids[0], ids[1], ids[3]}
    assert tables.taken_down(3) == {ids[3]}
    assert made == []
    assert tables.hidden == hidden_now(spark)
    assert {stone.takedown for stone in made} == {"t1", "t2"}
