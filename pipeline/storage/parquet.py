"""Parquet files of the archive, opened in one way: pages are checked as they are read, and damage names its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.errors import FileMissing, StorageError, StoredFileDamaged
from pipeline.storage.interface import Storage


@contextmanager
def open_parquet_file(storage: Storage, path: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file at a path below the root. Whatever Arrow raises while the block reads from it is damage.

    Raises:
        StoredFileDamaged: the file is gone, is no Parquet, or a page does not match its checksum.
        StorageUnavailable: it cannot be read now.
    """
    try:
        with storage.open(path) as stream, parquet_in(stream, path) as file:
            yield file
    except FileMissing as error:
        raise StoredFileDamaged(path, "the file is gone") from error


@contextmanager
def parquet_in(stream: BinaryIO, path: str) -> Iterator[pq.ParquetFile]:
    """The same for a stream; damage names the path.

    Raises:
        StoredFileDamaged: as above.
    """
    try:
        with pq.ParquetFile(stream, page_checksum_verification=True) as file:
            yield file
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoredFileDamaged(path, str(error).partition("\n")[0]) from error


@contextmanager
def open_data_file(storage: Storage, uri: str) -> Iterator[pq.ParquetFile]:
    """The same for a URI as Iceberg has it; damage names that URI.

    Raises:
        StoredFileDamaged: as above.
        StorageError: the file is not below the archive's root.
    """
    path = storage.path_of(uri)
    if path is None:
        raise StorageError(uri, f"a data file outside the archive at {storage.root_uri}")
    try:
        with open_parquet_file(storage, path) as file:
            yield file
    except StoredFileDamaged as error:
        if error.path != path:
            raise
        raise StoredFileDamaged(uri, error.problem) from error
