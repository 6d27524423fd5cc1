"""The one way to write and open the archive's Parquet files: footers and pages are checked, damage names its file.

Parquet has checksums for pages but not for footers, where one bit decides which row groups a reader skips. Our files
have a seal before the footer, in bytes that other readers ignore (decision 23).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet_pages import a_page_is_too_large
from pipeline.storage.paths import side_path
from pipeline.storage.uris import path_below_root

_MAGIC = b"PAR1"
_SEAL = b"FOOTSEAL"
_SEAL_BYTES = len(_SEAL) + 4
_END_BYTES = 8
"""Size of the footer's length and Parquet's magic."""

_TAIL_BYTES = 64 << 10
"""Bytes read at once from a file's end: usually the whole footer; a smaller file is not read again."""


class SealedWriter(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """Writes a local Parquet file; closing it puts a CRC-32 of the footer before the footer.

    Args:
        out: an open file at that path, for subclasses that write to it, too.
        options: of Arrow's own writer.
    """

    def __init__(self, path: Path, schema: pa.Schema, out: pa.NativeFile | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(path if out is None else out, schema, write_page_checksum=True, **options)
        self._path, self._out = path, out

    def close(self) -> None:
        """Write the footer and the seal; a second call does nothing."""
        was_open = self.is_open
        super().close()
        if was_open:
            if self._out is not None:
                self._out.close()
            _seal(self._path, self._footer)

    def abandon(self) -> None:
        """End without a seal, and delete the file: it may be unfinished, or its disk full."""
        if self.is_open:
            with suppress(Exception):
                super().close()
            self.is_open: bool = False
            for handle in (self.file_handle, self._out):
                if handle is not None:
                    with suppress(Exception):
                        handle.close()
        self._path.unlink(missing_ok=True)

    def _footer(self, footer: bytes) -> bytes:
        """The footer to write in place of Arrow's."""
        return footer


class RowsLacking(OSError):
    """A column has fewer rows than the footer says. Any row may have another row's value of it."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"a column has {rows} rows less than the footer says")


class ArchiveFile(pq.ParquetFile):  # type: ignore[misc]
    """An open file of the archive. ``sealed`` says whether its footer was checked, ``trusted`` whether its statistics
    are, because of the seal or because a caller set it after it checked the whole file.
    """

    def __init__(self, source: BinaryIO | pa.BufferReader, metadata: pq.FileMetaData | None, *, sealed: bool) -> None:
        super().__init__(source, metadata=metadata, page_checksum_verification=True)
        self.sealed = self.trusted = sealed

    def iter_batches(
        self,
        batch_size: int = 65_536,
        row_groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
    ) -> Iterator[pa.RecordBatch]:
        """Batches of rows.

        Raises:
            RowsLacking: after the last batch. Arrow skips a page of a type that it does not know, and ends where the
                shortest column does.
        """
        lacking = self._rows_of(row_groups)
        for batch in super().iter_batches(batch_size, row_groups, columns, use_threads=use_threads):
            lacking -= len(batch)
            yield batch
        _check_none_lacks(lacking)

    def read_row_groups(self, row_groups: Sequence[int], *args: Any, **options: Any) -> pa.Table:  # noqa: ANN401
        """Some row groups as a table; raises like ``iter_batches``."""
        rows = super().read_row_groups(row_groups, *args, **options)
        _check_none_lacks(self._rows_of(row_groups) - len(rows))
        return rows

    def read_row_group(self, i: int, *args: Any, **options: Any) -> pa.Table:  # noqa: ANN401
        """A row group as a table; raises like ``iter_batches``."""
        return self.read_row_groups([i], *args, **options)

    def read(self, *args: Any, **options: Any) -> pa.Table:  # noqa: ANN401
        """All rows as a table; raises like ``iter_batches``."""
        rows = super().read(*args, **options)
        _check_none_lacks(self._rows_of(None) - len(rows))
        return rows

    def _rows_of(self, row_groups: Sequence[int] | None) -> int:
        """How many rows there are according to the footer; None for all row groups."""
        if row_groups is None:
            return int(self.metadata.num_rows)
        return sum(self.metadata.row_group(group).num_rows for group in row_groups)

    def bounds(self, group: int, column: str) -> tuple[Any, Any] | None:
        """The checked minimum and maximum of a column in a row group; None if there are none."""
        said = self.statistics(group, column) if self.trusted else None
        return (said.min, said.max) if said is not None and said.has_min_max else None

    def may_hold(self, group: int, column: str, values: Iterable[Any]) -> bool:
        """Whether a row group may have one of some values in a column, by its checked bounds."""
        bounds = self.bounds(group, column)
        return bounds is None or any(bounds[0] <= value <= bounds[1] for value in values)

    def statistics(self, group: int, column: str) -> pq.Statistics | None:
        """The footer's statistics of a column in a row group, checked or not; None for one that has parts."""
        at = self._leaves.get(column)
        return None if at is None else self.metadata.row_group(group).column(at).statistics

    @cached_property
    def _leaves(self) -> dict[str, int]:
        """Numbers of columns in row groups, where each part of a struct, list or map counts."""
        return {self.schema.column(at).path: at for at in range(self.metadata.num_columns)}


def _check_none_lacks(rows: int) -> None:
    if rows:
        raise RowsLacking(rows)


@contextmanager
def open_parquet_file(storage: Storage, path: str) -> Iterator[ArchiveFile]:
    """The Parquet file at a path below the root. Any Arrow error while the block reads from it is damage.

    Raises:
        StoredFileDamaged: the file is gone or not Parquet, or its footer or a page does not match its checksum.
        StorageUnavailable: it cannot be read now.
        MemoryError: there is not enough memory.
    """
    try:
        with storage.open(path) as stream, parquet_in(stream, path) as file:
            yield file
    except FileMissing as error:
        raise StoredFileDamaged(path, "the file is gone") from error
    except OSError as error:
        raise StoredFileDamaged(path, str(error).partition("\n")[0]) from error


@contextmanager
def parquet_in(stream: BinaryIO, path: str) -> Iterator[ArchiveFile]:
    """Like ``open_parquet_file``, for a stream; damage names the path.

    Raises:
        StoredFileDamaged, MemoryError: as above.
    """
    opened: ArchiveFile | None = None
    try:
        tail = _tail(stream, _TAIL_BYTES)
        end = _end(stream, tail)
        sealed = _is_sealed(end)
        if sealed and _crc(end[_SEAL_BYTES:]) != end[len(_SEAL) : _SEAL_BYTES]:
            raise StoredFileDamaged(path, "its footer does not match its checksum")
        if len(tail) < _TAIL_BYTES:
            opened = ArchiveFile(pa.BufferReader(tail), None, sealed=sealed)
        else:
            metadata = pq.read_metadata(pa.BufferReader(_MAGIC + end[_SEAL_BYTES:])) if end else None
            opened = ArchiveFile(stream, metadata, sealed=sealed)
        with opened as file:
            yield file
    except MemoryError as error:  # Arrow has an error that is both
        if opened is not None and a_page_is_too_large(stream, opened.metadata):
            raise StoredFileDamaged(path, "a page says that it is larger than its column") from error
        raise
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoredFileDamaged(path, str(error).partition("\n")[0]) from error


@contextmanager
def open_data_file(storage: Storage, uri: str) -> Iterator[ArchiveFile]:
    """Like ``open_parquet_file``, for a URI as Iceberg writes it; damage names that URI.

    Raises:
        StoredFileDamaged: as above.
        StorageError: the file is not below the archive's root.
    """
    path = path_below_root(storage, uri)
    try:
        with open_parquet_file(storage, path) as file:
            yield file
    except StoredFileDamaged as error:
        if error.path != path:
            raise
        raise StoredFileDamaged(uri, error.problem) from error


def check_bounds(storage: Storage, uri: str, columns: Collection[str]) -> None:
    """Check a data file's footer before Spark skips row groups because of it.

    A seal is enough, and Hadoop checks files that have its checksum file next to them. In files older than seals, the
    columns are read and compared with the footer.

    Args:
        columns: columns that Spark filters by; those that the file does not have are skipped.

    Raises:
        StoredFileDamaged: the footer is damaged.
    """
    with open_data_file(storage, uri) as file:
        if file.sealed or _has_sums(storage, uri):
            return
        for group in range(file.num_row_groups):
            for column in set(columns) & set(file.schema_arrow.names):
                said = file.statistics(group, column)
                if said is not None and not _is_true(said, file.read_row_group(group, [column]).column(column)):
                    raise StoredFileDamaged(uri, f"its footer is wrong about {column}")


def _has_sums(storage: Storage, uri: str) -> bool:
    path = storage.path_of(uri)
    return path is not None and storage.stat(side_path(path)) is not None


def _is_true(said: pq.Statistics, values: pa.ChunkedArray) -> bool:
    if said.has_null_count and said.null_count != values.null_count:
        return False
    bounds = pc.min_max(values).as_py()
    return not said.has_min_max or (said.min, said.max) == (bounds["min"], bounds["max"])


def _seal(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the footer of a closed file and insert the seal before it. Its offsets count from the file's start."""
    with path.open("r+b") as file:
        footer = _footer_bytes(_tail(file, _END_BYTES))
        file.seek(-footer, io.SEEK_END)
        changed = change(file.read()[:-_END_BYTES])
        end = changed + len(changed).to_bytes(_END_BYTES - len(_MAGIC), "little") + _MAGIC
        file.seek(-footer, io.SEEK_END)
        file.truncate()
        file.write(_SEAL + _crc(end) + end)


def _crc(end: bytes) -> bytes:
    return zlib.crc32(end).to_bytes(4, "big")


def _is_sealed(end: bytes) -> bool:
    return end.startswith(_SEAL)


def _end(stream: BinaryIO, tail: bytes) -> bytes:
    """The footer up to the file's end, and the bytes where its seal would be; empty if it is not Parquet."""
    if len(tail) < _END_BYTES or not tail.endswith(_MAGIC):
        return b""
    wanted = _footer_bytes(tail) + _SEAL_BYTES
    if wanted > len(tail):
        tail = _tail(stream, wanted)
    return tail[-wanted:] if len(tail) >= wanted else b""


def _footer_bytes(tail: bytes) -> int:
    """Size of the footer including its length and magic."""
    return int.from_bytes(tail[-_END_BYTES : -len(_MAGIC)], "little") + _END_BYTES


def _tail(stream: BinaryIO, size_bytes: int) -> bytes:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(size - size_bytes, 0))
    return stream.read(size_bytes)
