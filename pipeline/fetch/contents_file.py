"""Files of contents and trees, landed or compacted, whose large values lie in pages that we compress ourselves.

PyArrow copies each value three times on its way to a page, into memory that is new, and zstd then looks back as far as
its level says, 4 MiB when landing. Here a value is copied once, into a page that is used again, and zstd looks back
128 MiB, at HEAD 4 (decisions 68, 70 and 76). For readers it is Parquet as any other: a page of plain values, version
1, with a checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from pipeline.fetch.large_memory import large_memory
from pipeline.fetch.page_compression import How, PageCompressor, landing
from pipeline.fetch.parquet import MIB, ZSTD_LEVEL, parquet_options
from pipeline.model.tables import Table
from pipeline.storage.parquet import SealedWriter
from pipeline.storage.thrift import Field, Kind, Struct, read_struct, write_struct

LARGE_PAGE_BYTES: Final = 128 * MIB
"""Most bytes of a landed page, except for one larger value."""

HEAD_PAGE_BYTES: Final = 30 * MIB
"""The same for contents at HEAD, landed or compacted: a reader in the JVM takes as much of Java's heap at once."""

CONTENT: Final = "content"

_LENGTH_BYTES: Final = 4

_LEVELS_BYTES: Final = 16
"""Room for the definition levels of a page, whose size is known when it is full."""


def values(contents: pa.BinaryArray) -> Iterator[memoryview]:
    """Each value where it is; Python objects would be copies."""
    _, offsets, data = contents.buffers()
    at = memoryview(offsets).cast("i")[contents.offset : contents.offset + len(contents) + 1].tolist()
    whole = memoryview(data).cast("B") if data is not None else memoryview(b"")
    return (whole[begin:end] for begin, end in pairwise(at))


class PageBuffer:
    """Memory of one page, which is filled value by value, for any number of files one after the other.

    Args:
        most_bytes: of a page, except for one larger value.
        how: how pages are compressed.
    """

    def __init__(self, most_bytes: int = LARGE_PAGE_BYTES, how: How = landing) -> None:
        self._most_bytes = most_bytes
        self._memory: memoryview | None = None
        self._count, self._end = 0, _LEVELS_BYTES
        self._compressor = PageCompressor(how)

    def fits(self, size: int) -> bool:
        """Whether there is room for a value of so many bytes; an empty page has room for any."""
        return self._count == 0 or self._end + _LENGTH_BYTES + size <= self._most_bytes

    def add(self, value: bytes | memoryview) -> None:
        """Copy a value that fits.

        Raises:
            MemoryError: there is no memory for the page.
        """
        assert self.fits(len(value)), "a full page is taken first"
        begin = self._end + _LENGTH_BYTES
        end = begin + len(value)
        if self._memory is None or end > len(self._memory):
            self._memory = None
            self._memory = memoryview(large_memory(max(end, self._most_bytes)))
        memory = self._memory
        memory[self._end : begin] = len(value).to_bytes(_LENGTH_BYTES, "little")
        memory[begin:end] = value
        self._count, self._end = self._count + 1, end

    def page(self, *, at_head: bool = False) -> Page:
        """The values since the last page, at least one, as a page.

        Raises:
            MemoryError: zstd cannot have what it needs.
        """
        assert self._memory is not None, "a page has a value"
        count, end = self._count, self._end
        self._count, self._end = 0, _LEVELS_BYTES
        levels = _all_there(count)
        begin = _LEVELS_BYTES - len(levels)
        self._memory[begin:_LEVELS_BYTES] = levels
        body = self._compressor.compress(self._memory[begin:end], at_head=at_head)
        if len(self._memory) > self._most_bytes:
            self._memory = None
        return Page(count, _page_header(count, end - begin, body), body, end - begin)

    def pages(self, values: Sequence[memoryview], *, at_head: bool = False) -> Iterator[Page]:
        """The values, at least one, as pages in order, about equally large."""
        most_bytes = (min(self._most_bytes, HEAD_PAGE_BYTES) if at_head else self._most_bytes) - _LEVELS_BYTES
        rest = sum(map(len, values)) + _LENGTH_BYTES * len(values)
        size, even = 0, _even(rest, most_bytes)
        for value in values:
            more = len(value) + _LENGTH_BYTES
            if size and size + more > even:
                yield self.page(at_head=at_head)
                size, rest = 0, rest - size
                even = _even(rest, most_bytes)
            self.add(value)
            size += more
        yield self.page(at_head=at_head)

    def release(self) -> None:
        """Forget what was added and give the memory back; the next page takes it anew."""
        self._memory = None
        self._count, self._end = 0, _LEVELS_BYTES
        self._compressor.release()


def _even(size: int, most: int) -> int:
    """The size of the largest of the fewest equal parts."""
    return -(-size // -(-size // most))


class Page(NamedTuple):
    """A compressed page, and its bytes before that."""

    rows: int
    header: bytes
    body: bytes
    raw_bytes: int


class _Chunk(NamedTuple):
    """Where the large values of a row group are, and how many bytes they take, headers included."""

    begin: int
    stored_bytes: int
    raw_bytes: int


class ContentsFile(SealedWriter):
    """Writes a local Parquet file of a table with contents.

    PyArrow writes the other columns, and empty values in place of the contents, which nothing in the footer names then.

    Args:
        level: zstd level of the other columns.
    """

    def __init__(self, table: Table, path: Path, level: int = ZSTD_LEVEL) -> None:
        self._names = table.column_names
        self._chunks: list[_Chunk] = []
        self._file = pa.OSFile(str(path), "wb")
        super().__init__(path, table.arrow_schema, self._file, **parquet_options(table, level))

    def write_group(self, others: pa.Table, pages: Iterable[Page]) -> None:
        """Write a row group: the rows' other columns, and the pages with the content of each."""
        nothing = pa.array([b""] * len(others), pa.binary())
        self.write_table(others.append_column(CONTENT, nothing).select(self._names), row_group_size=len(others))
        begin, raw_bytes, rows = self._file.tell(), 0, 0
        for page in pages:
            self._file.write(page.header)
            self._file.write(page.body)
            raw_bytes += len(page.header) + page.raw_bytes
            rows += page.rows
        assert rows == len(others), "each row has a content"
        self._chunks.append(_Chunk(begin, self._file.tell() - begin, raw_bytes))

    def _footer(self, footer: bytes) -> bytes:
        found = read_struct(footer)
        groups = found[_Footer.GROUPS].value.values
        for group, chunk in zip(groups, self._chunks, strict=True):
            _point(group, self._names.index(CONTENT), chunk)
        return write_struct(found)


class _Footer:
    """Numbers of fields in Parquet's ``FileMetaData``, ``RowGroup``, ``ColumnChunk`` and ``ColumnMetaData``."""

    GROUPS = 4
    GROUP_COLUMNS, GROUP_RAW_BYTES, GROUP_STORED_BYTES = 1, 2, 6
    COLUMN_META = 3
    META_RAW_BYTES, META_STORED_BYTES, META_FIRST_PAGE = 6, 7, 9
    META_ENCODING_COUNTS, META_SIZES = 13, 16


def _point(group: Struct, column: int, chunk: _Chunk) -> None:
    """Let a row group's column be a chunk. What PyArrow counted of its empty pages is left out: it is optional."""
    meta: Struct = group[_Footer.GROUP_COLUMNS].value.values[column][_Footer.COLUMN_META].value
    for total, part, size in (
        (_Footer.GROUP_RAW_BYTES, _Footer.META_RAW_BYTES, chunk.raw_bytes),
        (_Footer.GROUP_STORED_BYTES, _Footer.META_STORED_BYTES, chunk.stored_bytes),
    ):
        group[total] = Field(Kind.I64, group[total].value - meta[part].value + size)
        meta[part] = Field(Kind.I64, size)
    meta[_Footer.META_FIRST_PAGE] = Field(Kind.I64, chunk.begin)
    for number in (_Footer.META_ENCODING_COUNTS, _Footer.META_SIZES):
        meta.pop(number, None)


def _all_there(count: int) -> bytes:
    """Definition levels of so many values, none of them null: one run, behind its size in bytes."""
    run = count << 1
    levels = bytearray()
    while run > 0x7F:
        levels.append(run & 0x7F | 0x80)
        run >>= 7
    levels += bytes((run, 1))
    return len(levels).to_bytes(_LENGTH_BYTES, "little") + levels


def _page_header(count: int, raw_bytes: int, body: bytes) -> bytes:
    data_page, plain, run_lengths = 0, 0, 3
    checksum = zlib.crc32(body)
    values = _numbered([count, plain, run_lengths, run_lengths])
    header = _numbered([data_page, raw_bytes, len(body), checksum - (checksum >> 31 << 32)])
    return write_struct(header | {5: Field(Kind.STRUCT, values)})


def _numbered(values: Iterable[int]) -> Struct:
    return {number: Field(Kind.I32, value) for number, value in enumerate(values, start=1)}
