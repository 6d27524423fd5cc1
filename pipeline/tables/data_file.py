"""A data file of a table, opened through the archive's storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from pipeline.storage.errors import StorageError
from pipeline.storage.interface import Storage


@contextmanager
def open_data_file(storage: Storage, uri: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file behind a URI as Iceberg has it; its pages are checked as they are read.

    Raises:
        StorageError: the file can not be opened, or is not below the archive's root.
    """
    path = storage.path_of(uri)
    if path is None:
        raise StorageError(uri, f"a data file outside the archive at {storage.root_uri}")
    with storage.open(path) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
        yield file
