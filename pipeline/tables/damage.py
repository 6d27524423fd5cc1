"""Finds the damaged file when Iceberg does not say which one it was reading."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.errors import PipelineError
from pipeline.model.tables import ALL
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import check_bounds, open_data_file
from pipeline.tables.iceberg import full_name, see_current

_BULK = "content"
_BATCH_ROWS = 256
_THREADS = 8
_FILTERED = ("network", "origin", "url", "oid", "target", "at_head", "stored", "last_visit", "status")
"""Columns by which row groups are skipped."""


def check_footers(
    spark: SparkSession,
    storage: Storage,
    tables: Collection[str],
    buckets: Collection[int] | None,
    tag: str | None = None,
) -> None:
    """Check the footers of some buckets' files before Spark filters by them; Spark would trust a flipped bit.

    The tables are looked up anew: their files are those that the session reads next. HDFS checks every byte itself, so
    this does nothing there.

    Args:
        buckets: None for all.
        tag: the tag of the snapshot that will be read; None for the current one.

    Raises:
        StoredFileDamaged: a footer is damaged; names the first such file.
    """
    if not tables or not storage.root_uri.startswith("file:"):
        return
    for name in tables:
        see_current(spark, name)
    reader = spark.read if tag is None else spark.read.option("versionAsOf", tag)
    files = reduce(
        DataFrame.unionByName,
        (reader.table(f"{full_name(name)}.files").select("content", "partition", "file_path") for name in tables),
    )
    if buckets is not None:
        files = files.where(F.col("partition.bucket").isin(sorted(buckets)))
    uris = [row["file_path"] for row in files.where("content = 0").select("file_path").collect()]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda uri: check_bounds(storage, uri, _FILTERED), uris))


def find_damaged(spark: SparkSession, storage: Storage, buckets: Collection[int]) -> StoredFileDamaged | None:
    """Read the live data files of some buckets until one is damaged; the bytes of blobs and trees come last.

    Costs as much as reading these buckets. Delete files are skipped.
    """
    listed = ", ".join(map(str, sorted(buckets)))
    statement = " UNION ALL ".join(
        f"SELECT file_path FROM {full_name(table.name)}.files WHERE content = 0 AND partition.bucket IN ({listed})"  # noqa: S608 - names of ours
        for table in ALL
    )
    uris = [row["file_path"] for row in spark.sql(statement).collect()]
    for bulk in (False, True):
        for uri in uris:
            try:
                _read(storage, uri, bulk=bulk)
            except StoredFileDamaged as error:
                return error
    return None


def damaged_file(storage: Storage, bucket: int, error: PipelineError) -> str:
    """The path that an error is about, for people; the bucket if the error names no file."""
    path = error.path if isinstance(error, StoredFileDamaged) else ""
    return storage.path_of(path) or path or f"a file of bucket {bucket}"


def _read(storage: Storage, uri: str, *, bulk: bool) -> None:
    with open_data_file(storage, uri) as file:
        columns = [name for name in file.schema_arrow.names if (name == _BULK) is bulk]
        if columns:
            for _ in file.iter_batches(_BATCH_ROWS, columns=columns):
                pass
