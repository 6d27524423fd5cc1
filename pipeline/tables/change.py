"""Commits that remove and add single rows: what they write follows what changed, not the size of a bucket.

Removed rows become entries of deletion vectors, which ``maintain`` merges into the files. The statement commits a
snapshot that no reader sees; then that snapshot becomes the current one, on the condition that the table is still as it
was when the caller looked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.tables.iceberg import IcebergTable, in_buckets
from pipeline.tables.rewrite import Seen, nothing, overwrite
from pipeline.tables.session import configured

CHANGED_BY_ROW = {
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    "write.merge.mode": "merge-on-read",
    "write.wap.enabled": "true",
}
"""Properties of a table that ``change_rows`` needs; it sets them where an earlier version made the table."""

_STAGED = "wap.id"
_CONF = "spark.wap.id"
_PROPERTY = "spark.sql.iceberg.snapshot-property."
_VIEW = "rows_that_change"
_GONE = "_gone"


def change_rows(
    seen: Seen,
    gone: DataFrame,
    new: DataFrame,
    buckets: Collection[int],
    properties: Mapping[str, str] | None = None,
) -> None:
    """Remove the rows that have certain keys and add others, in one commit, unless others changed the table since.

    Args:
        seen: the state that ``gone`` and ``new`` are based on.
        gone: the keys, each once; its columns, ``bucket`` among them, are compared so that null equals null.
        new: rows with the columns of the table; keys of ``gone`` may be among them.
        buckets: the buckets of both.
        properties: kept in the snapshot's summary.

    Raises:
        Py4JJavaError, StagedOnAnother: nothing was committed; ``is_conflict`` says whether other writers were the
            cause.
    """
    if seen.snapshot is None or gone.isEmpty():
        overwrite(new, seen, nothing(), properties)
        return
    spark, key, staged = seen.spark, gone.columns, uuid4().hex
    source = gone.withColumn(_GONE, F.lit(True)).unionByName(
        new.withColumn(_GONE, F.lit(False)), allowMissingColumns=True
    )
    source.createOrReplaceTempView(_VIEW)
    conf = {_CONF: staged, **{f"{_PROPERTY}{name}": value for name, value in (properties or {}).items()}}
    _make_changeable(spark, seen.iceberg)
    try:
        with seen.iceberg.committing(), configured(spark, conf):
            spark.sql(change_statement(seen.name, key, new.columns, buckets))
        seen.iceberg.publish_staged(_STAGED, staged, seen.snapshot)
        spark.catalog.refreshTable(seen.name)
    finally:
        spark.catalog.dropTempView(_VIEW)


def change_statement(table: str, key: Sequence[str], columns: Sequence[str], buckets: Collection[int]) -> str:
    """The MERGE of ``change_rows``. The buckets are literals, so that no other bucket is read."""
    listed = ", ".join(map(str, sorted(buckets)))
    same = " AND ".join(f"t.{name} <=> s.{name}" for name in key)
    values = ", ".join(f"s.{name}" for name in columns)
    return (
        f"MERGE INTO {table} t USING {_VIEW} s ON t.bucket IN ({listed}) AND s.{_GONE} AND {same} "  # noqa: S608 - names of ours
        f"WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND NOT s.{_GONE} THEN INSERT ({', '.join(columns)}) "
        f"VALUES ({values})"
    )


def keys_among(seen: Seen, wanted: DataFrame, key: Sequence[str], buckets: Collection[int]) -> DataFrame:
    """Those keys of a small frame that the table has."""
    rows = seen.rows().where(in_buckets(buckets)).select(*key)
    return rows.join(F.broadcast(wanted.select(*key)), list(key), "left_semi").distinct()


def _make_changeable(spark: SparkSession, iceberg: IcebergTable) -> None:
    lacking = {name: value for name, value in CHANGED_BY_ROW.items() if iceberg.property(name) != value}
    if lacking:
        iceberg.set_properties(lacking)
        spark.catalog.refreshTable(iceberg.name)  # a statement that does not see them would not stage its commit
