"""Finding the damaged file where Iceberg does not say which one it was reading."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import SparkSession

from pipeline.errors import PipelineError
from pipeline.model.tables import ALL
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_data_file
from pipeline.tables.iceberg import full_name

_BULK = "content"
_BATCH_ROWS = 256


def find_damaged(spark: SparkSession, storage: Storage, buckets: Collection[int]) -> StoredFileDamaged | None:
    """Read the live data files of some buckets until one is damaged; the bytes of blobs and trees come last.

    Cost: that of reading these buckets. Files of deletes are not looked at.
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
    """The path of what an error is about, for people; of an error that names no file, the bucket."""
    path = error.path if isinstance(error, StoredFileDamaged) else ""
    return storage.path_of(path) or path or f"a file of bucket {bucket}"


def _read(storage: Storage, uri: str, *, bulk: bool) -> None:
    with open_data_file(storage, uri) as file:
        columns = [name for name in file.schema_arrow.names if (name == _BULK) is bulk]
        if columns:
            for _ in file.iter_batches(_BATCH_ROWS, columns=columns):
                pass
