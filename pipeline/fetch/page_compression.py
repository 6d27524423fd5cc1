"""How pages of contents and trees are compressed: how far zstd looks back, and how hard it searches (decisions 68, 70,
71, 76 and 79)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.fetch.parquet import MIB, ZSTD_LEVEL

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, Strategy, ZstdCompressor, ZstdError, zstd_version_info
else:
    from backports.zstd import CompressionParameter, Strategy, ZstdCompressor, ZstdError, zstd_version_info

Options = Mapping[int, int]
"""Parameters of zstd, and their values."""

How = Callable[[int, bool], Options]
"""How a page is compressed, by its raw bytes and whether it is at HEAD."""

_WINDOW_LOG: Final = 27
"""Logarithm of how far zstd looks back. Parquet's reader for the JVM takes no more."""

_HEAD_WINDOW_LOG: Final = 22
"""The same for pages at HEAD, which are read most: 4 MiB stay near the processor while they are decompressed."""

_KNOWS_THEM: Final = zstd_version_info == (1, 5, 7)
"""Whether this is the zstd whose experimental parameters below have these numbers; those of others may change."""

_STABLE_INPUT: Final[Options] = {1006: 1} if _KNOWS_THEM else {}
"""``ZSTD_c_stableInBuffer`` of ``zstd.h``: what is compressed stays where it is; zstd reserves no room for a copy."""

_UNSPLIT: Final[Options] = {1017: 1} if _KNOWS_THEM else {}
"""``ZSTD_c_blockSplitterLevel`` of ``zstd.h``: 1 is never. Looking for better ends of blocks takes a sixth of the time
of a landed page, which is larger with them than without."""

_SMALL_BYTES: Final = 16 * MIB
"""Raw bytes up to which a page is small."""

_SMALL_HEAD_BYTES: Final = 8 * MIB
"""The same for a landed page at HEAD."""

_SMALL_LEVEL: Final = 11
"""Most that a small compacted page gets. Level 16 takes seven times the CPU, for 0.5 to 7 % fewer bytes, 23 % of texts
of 1 kB (decision 70)."""

_LARGE_CHAIN_LOG: Final = 25
_OPTIMAL_LEVELS: Final = range(16, 20)
"""Levels that find the best parse and remember fewer places than that."""


def _at_level(level: int, window_log: int = _WINDOW_LOG) -> Options:
    options: Options = {CompressionParameter.compression_level: level, CompressionParameter.window_log: window_log}
    return {**options, **_STABLE_INPUT}


_SMALL_LANDING: Final = _at_level(4)
"""How zstd searches small landed pages: until they are compacted they are 4 to 32 % larger than with level 9, which
takes five to seven times the CPU (decision 71)."""

_SMALL_HEAD_LANDING: Final = _at_level(6, _HEAD_WINDOW_LOG)
"""What is at HEAD compresses least, so that level 4 would cost most bytes there."""

_LARGE_LANDING: Final[Options] = {
    **_at_level(ZSTD_LEVEL),
    **_UNSPLIT,
    CompressionParameter.hash_log: 22,
    CompressionParameter.search_log: 5,
    CompressionParameter.min_match: 6,
}
"""In large pages more places are remembered and tried than is usual, if more bytes are the same there."""

_LARGE_HEAD_LANDING: Final[Options] = {
    **_LARGE_LANDING,
    CompressionParameter.window_log: _HEAD_WINDOW_LOG,
    CompressionParameter.hash_log: 21,
}
"""There is less to remember in 4 MiB."""

_LIGHTER: Final[Options] = {
    CompressionParameter.strategy: Strategy.greedy,
    CompressionParameter.hash_log: 20,
    CompressionParameter.search_log: 6,
}
"""The first match that is found is taken, as most are long. Twice the attempts cost little: the table stays near the
processor."""

_REPETITIVE_LANDING: Final[Options] = {**_LARGE_LANDING, **_LIGHTER}
_REPETITIVE_HEAD_LANDING: Final[Options] = {**_LARGE_HEAD_LANDING, **_LIGHTER}

REPETITIVE: Final = 56
"""How many times its bytes a pack unpacks to if it is repetitive: a search takes its time for raw bytes, and little is
left to be found."""


def landing(raw_bytes: int, at_head: bool, *, repetitive: bool = False) -> Options:
    """How landed pages are compressed; ``repetitive``: the pack unpacks to more than ``REPETITIVE`` times its bytes."""
    if at_head:
        large = _REPETITIVE_HEAD_LANDING if repetitive else _LARGE_HEAD_LANDING
        return _SMALL_HEAD_LANDING if raw_bytes <= _SMALL_HEAD_BYTES else large
    large = _REPETITIVE_LANDING if repetitive else _LARGE_LANDING
    return _SMALL_LANDING if raw_bytes <= _SMALL_BYTES else large


def compacting(level: int) -> How:
    """How compacted pages are compressed: small ones at level 11 at most, large ones at the given level, those of the
    history with more places remembered."""
    small, large = _at_level(min(level, _SMALL_LEVEL)), _at_level(level)
    if level in _OPTIMAL_LEVELS:
        large = {**large, CompressionParameter.chain_log: _LARGE_CHAIN_LOG}
    small_head, large_head = _at_level(min(level, _SMALL_LEVEL), _HEAD_WINDOW_LOG), _at_level(level, _HEAD_WINDOW_LOG)

    def how(raw_bytes: int, at_head: bool) -> Options:
        if at_head:
            return small_head if raw_bytes <= _SMALL_BYTES else large_head
        return small if raw_bytes <= _SMALL_BYTES else large

    return how


@dataclass(slots=True)
class Unpacking:
    """Bytes of a visit's contents so far, in its pack and unpacked."""

    packed_bytes: int = 0
    raw_bytes: int = 0

    def add(self, raw_bytes: int, packed_bytes: int) -> None:
        """Count a content."""
        self.raw_bytes += raw_bytes
        self.packed_bytes += packed_bytes

    def how(self, raw_bytes: int, at_head: bool) -> Options:
        """How its landed pages are compressed."""
        return landing(raw_bytes, at_head, repetitive=self.raw_bytes > REPETITIVE * self.packed_bytes)


class PageCompressor:
    """Compresses pages, one after the other.

    Args:
        how: how they are compressed.
    """

    def __init__(self, how: How) -> None:
        self._how = how
        self._used: Options | None = None
        self._compressor: ZstdCompressor | None = None

    def compress(self, page: memoryview, *, at_head: bool) -> bytes:
        """A page as a frame that says its size.

        Raises:
            MemoryError: zstd cannot have what it needs.
        """
        try:
            return self._compressor_of(len(page), at_head=at_head).compress(page, ZstdCompressor.FLUSH_FRAME)
        except ZstdError as error:  # nothing else can fail with parameters that it knows
            raise MemoryError(f"a page of {len(page)} bytes: {error}") from error

    def release(self) -> None:
        """Give zstd's memory back."""
        self._used = self._compressor = None

    def _compressor_of(self, raw_bytes: int, *, at_head: bool) -> ZstdCompressor:
        """The last one if it will do: each has tables of its own."""
        how = self._how(raw_bytes, at_head)
        if self._compressor is None or how is not self._used:
            self._used, self._compressor = how, ZstdCompressor(options=how)
        return self._compressor
