"""Tables read from their files, against what Spark reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE
from pipeline.model.tables import BY_NAME
from pipeline.read.nights import NightNotFound, NotAnArchive
from pipeline.read.stored import StoredTables
from pipeline.snapshot import live_files
from pipeline.snapshot.rows import ROW_ID
from pipeline.storage.errors import StorageError, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import full_name
from tests.tables.conftest import night
from tests.tables.landing import BUCKETS
from tests.tables.test_nights import URL, two_nights


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
