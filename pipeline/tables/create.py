"""The tables as created in Iceberg: schema, partitioning and tuned properties."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipeline.model.tables import ALL, NAMESPACE, Table, spark_type
from pipeline.tables.iceberg import full_name
from pipeline.tables.rewrite import creating
from pipeline.tables.statistics import BUCKETS_PROPERTY
from pipeline.tables.writer import unleased

_MIB = 1 << 20

_COMMON = {
    "format-version": "3",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "commit.retry.num-retries": "8",
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
}
_BIG_VALUES = {
    # Rows are flagged or deleted in place; their bytes are neither rewritten with their neighbours nor shuffled.
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    "write.merge.mode": "merge-on-read",
    "write.distribution-mode": "none",
    "write.delete.distribution-mode": "none",
    "write.update.distribution-mode": "none",
    "write.merge.distribution-mode": "none",
    "write.spark.fanout.enabled": "true",
    # 256 MiB of raw bytes per row group, as landed: readers hold a whole one. The writer checks its size that often.
    "write.parquet.row-group-size-bytes": str(256 * _MIB),
    "write.parquet.page-size-bytes": str(32 * _MIB),
    "write.parquet.row-group-check-min-record-count": "16",
    "write.parquet.row-group-check-max-record-count": "256",
    "write.parquet.compression-level": "9",
}
_NO_BOUNDS = {  # bounds of these would only fill the manifests
    "contents": ("content",),
    "trees": ("content",),
    "commits": ("message", "signature", "raw"),
    "tags": ("message", "signature", "raw"),
    "visits": ("detail",),
}
_SORTED_BY = {
    "files": ("network", "origin", "path"),
    "head_blobs": ("network", "oid"),
    "repositories": ("network", "origin"),
    "origins": ("network", "url"),
}


def create_tables(spark: SparkSession, buckets: int) -> None:
    """Create the missing tables of the archive; a second call changes nothing.

    Every table gets an empty first snapshot, so that each night can be tagged on every table.

    Args:
        buckets: number of buckets of the archive, kept as a table property for people.
    """
    for table in ALL:
        with creating(spark, NAMESPACE):
            spark.sql(_create_statement(table, buckets))
        _finish(spark, table)


def table_properties(table: Table, buckets: int) -> dict[str, str]:
    """The Iceberg properties of one table."""
    properties = {**_COMMON, BUCKETS_PROPERTY: str(buckets)}
    if table.name in ("contents", "trees"):
        properties |= _BIG_VALUES
    for column in _NO_BOUNDS.get(table.name, ()):
        properties[f"write.metadata.metrics.column.{column}"] = "none"
    return properties


def _create_statement(table: Table, buckets: int) -> str:
    columns = ",\n  ".join(f"{c.name} {spark_type(c.type)} COMMENT {_quoted(c.doc)}" for c in table.columns)
    properties = ", ".join(f"'{k}' = '{v}'" for k, v in table_properties(table, buckets).items())
    return (
        f"CREATE TABLE IF NOT EXISTS {full_name(table.name)} (\n  {columns}\n) USING iceberg "
        f"PARTITIONED BY (bucket) COMMENT {_quoted(table.doc)} TBLPROPERTIES ({properties})"
    )


def _finish(spark: SparkSession, table: Table) -> None:
    """Set what CREATE TABLE cannot; the empty snapshot comes last and marks the table as finished."""
    iceberg = unleased(spark).table(table.name)
    if iceberg.current() is not None:
        return
    iceberg.set_properties({"schema.name-mapping.default": iceberg.name_mapping()})
    if columns := _SORTED_BY.get(table.name):
        order = ", ".join(columns)
        with iceberg.committing():
            spark.sql(f"ALTER TABLE {iceberg.name} WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY {order}")
        iceberg = unleased(spark).table(table.name)
    iceberg.commit_nothing()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
