"""Files of contents and trees, landed or compacted, whose large values lie in pages that we compress ourselves.

PyArrow copies each value three times on its way to a page, into memory that is new, and zstd then looks back as far as
its level says, 4 MiB when landing. Here a value is copied once, into a page that is used again, and zstd looks back
128 MiB (decisions 68 and 70). For readers it is Parquet as any other: a page of plain values, version 1, with a
checksum.
"""

from __future__ import annotations

import mmap
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from pipeline.fetch.large_memory import large_memory
from pipeline.fetch.parquet import MIB, ZSTD_LEVEL, parquet_options
from pipeline.model.tables import Table
from pipeline.storage.parquet import SealedWriter
from pipeline.storage.thrift import Field, Kind, Struct, read_struct, write_struct

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, zstd_version_info
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, zstd_version_info

LARGE_PAGE_BYTES: Final = 128 * MIB
"""Most bytes of a landed page, except for one larger value."""

HEAD_PAGE_BYTES: Final = 30 * MIB
"""The same for contents at HEAD, landed or compacted. A reader in the JVM needs as much for zstd's window: up to 32 MiB
the C library keeps it for the next page; more it gives back, and takes it anew from the kernel, which clears it."""

CONTENT: Final = "content"

_WINDOW_LOG: Final = 27
"""Logarithm of how far zstd looks back. Parquet's reader for the JVM takes no more."""

_SMALL_BYTES: Final = 16 * MIB
"""Raw bytes up to which a page is small."""

_SMALL_HEAD_BYTES: Final = 8 * MIB
"""The same for a landed page at HEAD."""


Options = Mapping[int, int]
"""Parameters of zstd and their values."""

_BLOCK_SPLITTER, _NEVER = 1017, 1
_STABLE_INPUT, _IS_STABLE = 1006, 1
"""Of ``zstd.h``, experimental: how hard it looks for places where a block had better end, and whether its input stays
where it is. A search for places takes a sixth of the time and finds nothing in our pages; an input that may move is
copied."""

_KNOWS_THEM: Final = (1, 5, 7) <= zstd_version_info < (1, 6)


def _at_level(level: int) -> Options:
    options: dict[int, int] = {CompressionParameter.compression_level: level, CompressionParameter.window_log: _WINDOW_LOG}
    return options | ({_STABLE_INPUT: _IS_STABLE} if _KNOWS_THEM else {})


_SMALL_LANDING: Final = _at_level(4)
"""How zstd searches small landed pages: until they are compacted they are 4 to 32 % larger than with level 9, which
takes five to seven times the CPU (decision 71)."""

_SMALL_HEAD_LANDING: Final = _at_level(6)
"""What is at HEAD compresses least, so that level 4 would cost most bytes there."""

_LARGE_LANDING: Final[Options] = {
    **_at_level(ZSTD_LEVEL),
    CompressionParameter.hash_log: 22,
    CompressionParameter.search_log: 6,
    CompressionParameter.min_match: 6,
    **({_BLOCK_SPLITTER: _NEVER} if _KNOWS_THEM else {}),
}
"""In large pages more places are remembered and tried than is usual, if more bytes are the same there."""

_SMALL_LEVEL: Final = 11
"""Most that a small page gets. Level 16 takes seven times the CPU, for 0.5 to 7 % fewer bytes, 23 % of texts of 1 kB
(decision 70)."""

_LARGE_CHAIN_LOG: Final = 25
_OPTIMAL_LEVELS: Final = range(16, 20)
"""Levels that find the best parse and remember fewer places than that."""

_LENGTH_BYTES: Final = 4

How = Callable[[int, bool], Options]
"""How a page is compressed, by its raw bytes and whether it is at HEAD."""


def landing(raw_bytes: int, at_head: bool) -> Options:
    """How landed pages are compressed."""
    if at_head:
        return _SMALL_HEAD_LANDING if raw_bytes <= _SMALL_HEAD_BYTES else _LARGE_LANDING
    return _SMALL_LANDING if raw_bytes <= _SMALL_BYTES else _LARGE_LANDING


def compacting(level: int) -> How:
    """How compacted pages are compressed: small ones at level 11 at most, large ones at the given level, with more
    places remembered."""
    small, large = _at_level(min(level, _SMALL_LEVEL)), _at_level(level)
    if level in _OPTIMAL_LEVELS:
        large = {**large, CompressionParameter.chain_log: _LARGE_CHAIN_LOG}
    return lambda raw_bytes, _: small if raw_bytes <= _SMALL_BYTES else large


def values(contents: pa.BinaryArray) -> Iterator[memoryview]:
    """Each value where it is; Python objects would be copies."""
    _, offsets, data = contents.buffers()
    at = memoryview(offsets).cast("i")[contents.offset : contents.offset + len(contents) + 1].tolist()
    whole = memoryview(data).cast("B") if data is not None else memoryview(b"")
    return (whole[begin:end] for begin, end in pairwise(at))


class PageBuffer:
    """Memory of one page, for any number of files one after the other.

    Args:
        most_bytes: of a page, except for one larger value.
        how: how pages are compressed.
    """

    def __init__(self, most_bytes: int = LARGE_PAGE_BYTES, how: How = landing) -> None:
        self._most_bytes = most_bytes
        self._memory: mmap.mmap | None = None
        self._how = how
        self._used: Options | None = None
        self._compressor: ZstdCompressor | None = None

    def pages(self, values: Sequence[memoryview], *, at_head: bool = False) -> Iterator[_Page]:
        """The values, at least one, as pages in order, about equally large. Each must be written before the next is
        asked for."""
        most_bytes = min(self._most_bytes, HEAD_PAGE_BYTES) if at_head else self._most_bytes
        sizes = [len(value) + _LENGTH_BYTES for value in values]
        begin, size, rest = 0, 0, sum(sizes)
        even = _even(rest, most_bytes)
        for end, more in enumerate(sizes):
            if size and size + more > even:
                yield self._page(values[begin:end], at_head=at_head)
                begin, size, rest = end, 0, rest - size
                even = _even(rest, most_bytes)
            size += more
        yield self._page(values[begin:], at_head=at_head)

    def release(self) -> None:
        """Give the memory back; the next page takes it anew."""
        self._memory = self._used = self._compressor = None

    def _page(self, values: Sequence[memoryview], *, at_head: bool) -> _Page:
        levels = _all_there(len(values))
        size = len(levels) + sum(map(len, values)) + _LENGTH_BYTES * len(values)
        if self._memory is None or size > len(self._memory):
            self._memory = None
            self._memory = large_memory(max(size, self._most_bytes))
        memory, at = memoryview(self._memory), len(levels)
        memory[:at] = levels
        for value in values:
            begin = at + _LENGTH_BYTES
            memory[at:begin] = len(value).to_bytes(_LENGTH_BYTES, "little")
            at = begin + len(value)
            memory[begin:at] = value
        compressor = self._compressor_of(size, at_head=at_head)
        compressor.set_pledged_input_size(size)
        body = compressor.compress(memory[:size], ZstdCompressor.FLUSH_FRAME)
        return _Page(_page_header(len(values), size, body), body, size)

    def _compressor_of(self, raw_bytes: int, *, at_head: bool) -> ZstdCompressor:
        """The last one if it will do: each has tables of its own."""
        how = self._how(raw_bytes, at_head)
        if self._compressor is None or how is not self._used:
            self._used, self._compressor = how, ZstdCompressor(options=how)
        return self._compressor


def _even(size: int, most: int) -> int:
    """The size of the largest of the fewest equal parts."""
    return -(-size // -(-size // most))


class _Page(NamedTuple):
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

    def __init__(self, table: Table, path: Path, buffer: PageBuffer, level: int = ZSTD_LEVEL) -> None:
        self._buffer = buffer
        self._names = table.column_names
        self._chunks: list[_Chunk] = []
        self._file = pa.OSFile(str(path), "wb")
        super().__init__(path, table.arrow_schema, self._file, **parquet_options(table, level))

    def write_group(self, others: pa.Table, contents: Sequence[memoryview], *, at_head: bool = False) -> None:
        """Write a row group: the rows' other columns, and the content of each; ``at_head``: all are at HEAD."""
        nothing = pa.array([b""] * len(others), pa.binary())
        self.write_table(others.append_column(CONTENT, nothing).select(self._names), row_group_size=len(others))
        begin, raw_bytes = self._file.tell(), 0
        for page in self._buffer.pages(contents, at_head=at_head):
            self._file.write(page.header)
            self._file.write(page.body)
            raw_bytes += len(page.header) + page.raw_bytes
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
