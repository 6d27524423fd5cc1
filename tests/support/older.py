"""An archive as an earlier version made it: of the same nights, in the form of an earlier format."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pyspark.sql import functions as F

from pipeline.context.archive import ArchiveInfo, find_any_archive
from pipeline.model.layout import ARCHIVE, tag_of
from pipeline.model.tables import FILES, HEAD_BLOBS, ORIGINS, REPOSITORIES, VISITS
from pipeline.read.archive import Archive
from pipeline.read.inventory.record import record_document
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased

GAINED: Mapping[int, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        2: {FILES.name: ("line", "base"), REPOSITORIES.name: ("tree",)},
        3: {
            HEAD_BLOBS.name: ("is_generated", "spdx_id", "spdx_confidence"),
            ORIGINS.name: ("asked_at", "signalled_at", "changes", "silent", "watched", "objects"),
        },
        4: {ORIGINS.name: ("signals",)},
        5: {VISITS.name: ("newest_commit", "commit_days"), ORIGINS.name: ("newest_commit", "commit_days")},
    }
)
"""By format, the columns that tables gained with it."""

COPIED = MappingProxyType(
    {"write.merge.mode": "copy-on-write", "write.update.mode": "copy-on-write", "write.wap.enabled": "false"}
)
"""Properties of tables that changed by whole partitions, before format 2."""


def lacking(format_: int) -> dict[str, tuple[str, ...]]:
    """The columns that tables of a format lack."""
    found: dict[str, tuple[str, ...]] = {}
    for since, tables in GAINED.items():
        if since > format_:
            found |= {name: (*found.get(name, ()), *columns) for name, columns in tables.items()}
    return found


def make_older(archive: Archive, storage: Storage, format_: int) -> None:
    """Give an archive of today the form of an earlier format: tables, each night's rows and tag, and ``archive.json``.

    Snapshots of today's form stay in the tables, without a tag, and so do their files.
    """
    spark, nights = archive.spark, archive.nights()
    earlier = {
        name: [(night, archive.table(name, night).drop(*columns).toArrow()) for night in nights]
        for name, columns in lacking(format_).items()
    }
    for name, columns in lacking(format_).items():
        table = full_name(name)
        if "line" in columns:
            spark.sql(f"ALTER TABLE {table} WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY network, origin, path")
        spark.sql(f"ALTER TABLE {table} DROP COLUMNS ({', '.join(columns)})")
        if format_ == 1 and name != VISITS.name:
            unleased(spark).table(name).set_properties(COPIED)
        for night, rows in earlier[name]:
            spark.createDataFrame(rows, spark.table(table).schema).writeTo(table).overwrite(F.lit(True))
            spark.sql(f"ALTER TABLE {table} CREATE OR REPLACE TAG `{tag_of(night)}`")
            spark.catalog.refreshTable(table)
    info = find_any_archive(storage)
    assert isinstance(info, ArchiveInfo)
    storage.replace(ARCHIVE, info.model_copy(update={"format": format_}).model_dump_json(indent=1).encode())
    record_document(ARCHIVE, storage)
