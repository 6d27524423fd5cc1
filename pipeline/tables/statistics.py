"""Sizes of tables, from their metadata. Opens no data file and no manifest."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyspark.sql import SparkSession

from pipeline.model.tables import BY_NAME, OID, Table
from pipeline.rules.partitioning import TYPICAL_RATIO, TableStats
from pipeline.tables.iceberg import DATA_FILES, DELETE_FILES, RATIO_PROPERTY, RECORDS, STORED_BYTES, IcebergTable

BUCKETS_PROPERTY = "pipeline.buckets"

_TEXT_BYTES, _ID_BYTES, _LIST_BYTES = 24, 20, 32
"""Assumed bytes per value of a column whose type has no fixed width."""


def table_stats(spark: SparkSession, name: str, snapshot: int | None) -> TableStats:
    """The size of a table as of a snapshot; all zero for None.

    Files, rows and stored bytes are exact, except for rows that are deleted but not yet compacted. Raw bytes follow
    from the ratio that every commit of files updates or, for tables that Spark wrote, from the widths of their columns.
    """
    table = IcebergTable(spark, name)
    summary: Mapping[str, str] = {} if snapshot is None else table.snapshot(snapshot).summary
    rows, stored = int(summary.get(RECORDS, "0")), int(summary.get(STORED_BYTES, "0"))
    ratio = table.property(RATIO_PROPERTY) or TYPICAL_RATIO.get(name)
    raw = rows * row_bytes(BY_NAME[name]) if ratio is None else int(stored * float(ratio))
    buckets = int(table.property(BUCKETS_PROPERTY) or 0)
    return TableStats(name, int(summary.get(DATA_FILES, "0")), rows, stored, raw, buckets)


def has_deleted_rows(spark: SparkSession, name: str, snapshot: int | None) -> bool:
    """Whether a snapshot of a table has rows that only Iceberg's own reader knows to skip; false for None."""
    return snapshot is not None and IcebergTable(spark, name).snapshot(snapshot).summary.get(DELETE_FILES) != "0"


def row_bytes(table: Table) -> int:
    """An estimate of a row's bytes, from the types of its columns."""
    return sum(_width(column.type) for column in table.columns)


def _width(type_: pa.DataType) -> int:
    if type_ == OID:
        return _ID_BYTES
    if pa.types.is_list(type_):
        return _LIST_BYTES
    return _TEXT_BYTES if pa.types.is_string(type_) else max(type_.bit_width // 8, 1)
