"""The tables as created in Iceberg: schema, partitioning and tuned properties."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipeline.model.tables import ALL, NAMESPACE, Table, spark_type
from pipeline.tables.change import CHANGED_BY_ROW
from pipeline.tables.conflicts import creating
from pipeline.tables.iceberg import full_name
from pipeline.tables.statistics import BUCKETS_PROPERTY
from pipeline.tables.writer import Writer, unleased

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
    "files": ("network", "line", "path"),
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


def upgrade_table(writer: Writer, table: Table, buckets: int) -> None:
    """Give a table that an earlier version made the columns and properties that it lacks; its rows are null there.

    An empty snapshot follows, because a read as of a snapshot has the columns of that snapshot. May be called again
    after a kill at any point.
    """
    iceberg = writer.table(table.name)
    properties = table_properties(table, buckets)
    del properties["format-version"]
    changed = {name: value for name, value in properties.items() if iceberg.property(name) != value}
    if changed:
        iceberg.set_properties(changed)
    if not _lacking(writer, table):
        return
    _add_lacking(writer, table)
    iceberg = writer.table(table.name)
    iceberg.set_properties({"schema.name-mapping.default": iceberg.name_mapping()})
    _set_order(writer, table)
    _show_columns(writer, table)


def add_columns(writer: Writer, table: Table) -> None:
    """Give a table the columns that it lacks, and an empty snapshot, as ``upgrade_table`` does, and nothing else."""
    if _lacking(writer, table):
        _add_lacking(writer, table)
        _show_columns(writer, table)


def _lacking(writer: Writer, table: Table) -> bool:
    """Whether a read as of the newest snapshot lacks columns."""
    return not set(table.column_names) <= set(writer.see(table.name).rows().columns)


def _add_lacking(writer: Writer, table: Table) -> None:
    name = full_name(table.name)
    there = writer.spark.table(name).columns
    lacking = [column for column in table.columns if column.name not in there]
    if lacking:
        listed = ", ".join(f"{c.name} {spark_type(c.type)} COMMENT {quoted(c.doc)}" for c in lacking)
        with writer.table(table.name).committing():
            writer.spark.sql(f"ALTER TABLE {name} ADD COLUMNS ({listed})")


def _show_columns(writer: Writer, table: Table) -> None:
    writer.table(table.name).commit_nothing()
    writer.spark.catalog.refreshTable(full_name(table.name))


def table_properties(table: Table, buckets: int) -> dict[str, str]:
    """The Iceberg properties of one table."""
    properties = {**_COMMON, BUCKETS_PROPERTY: str(buckets)}
    if table.name in ("contents", "trees"):
        properties |= _BIG_VALUES
    if not table.landed:
        properties |= CHANGED_BY_ROW
    for column in _NO_BOUNDS.get(table.name, ()):
        properties[f"write.metadata.metrics.column.{column}"] = "none"
    return properties


def _create_statement(table: Table, buckets: int) -> str:
    columns = ",\n  ".join(f"{c.name} {spark_type(c.type)} COMMENT {quoted(c.doc)}" for c in table.columns)
    properties = ", ".join(f"'{k}' = '{v}'" for k, v in table_properties(table, buckets).items())
    return (
        f"CREATE TABLE IF NOT EXISTS {full_name(table.name)} (\n  {columns}\n) USING iceberg "
        f"PARTITIONED BY (bucket) COMMENT {quoted(table.doc)} TBLPROPERTIES ({properties})"
    )


def _finish(spark: SparkSession, table: Table) -> None:
    """Set what CREATE TABLE cannot; the empty snapshot comes last and marks the table as finished."""
    iceberg = unleased(spark).table(table.name)
    if iceberg.current() is not None:
        return
    iceberg.set_properties({"schema.name-mapping.default": iceberg.name_mapping()})
    _set_order(unleased(spark), table)
    unleased(spark).table(table.name).commit_nothing()


def _set_order(writer: Writer, table: Table) -> None:
    if columns := _SORTED_BY.get(table.name):
        order = ", ".join(columns)
        with writer.table(table.name).committing():
            statement = f"ALTER TABLE {full_name(table.name)} WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY {order}"
            writer.spark.sql(statement)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
