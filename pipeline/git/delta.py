"""Deltas between versions of a file or directory, nearly free: what they share at both ends is copied, and between
these ends only whole lines, or whole entries of trees, are looked up.

dulwich's own deltas compare bytes: 0.4 ms for two similar versions of 50 kB, but 0.8 s for two unlike ones of 100 kB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

MOST_BYTES: Final = 16 << 20
"""Larger objects get no deltas and are no bases."""

_MOST_PIECES: Final = 100_000
"""Between the ends; with more, everything there is inserted."""

_SMALLEST_COPY: Final = 10
_SMALLEST_SEARCHED: Final = 24
_LONGEST_COPY: Final = 0x10000
_LONGEST_INSERT: Final = 127
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_ENTRY: Final = re.compile(rb"[^\0]*+\0.{20}|.+", re.DOTALL)


class Ends(NamedTuple):
    """How many bytes two objects share at their beginnings and, beyond these, at their ends."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        """Both."""
        return self.first + self.last


def shared_ends(base: bytes, target: bytes) -> Ends:
    """What two objects share at their ends."""
    least = min(len(base), len(target))
    one, two = np.frombuffer(base, np.uint8), np.frombuffer(target, np.uint8)
    first = _equal(one[:least] != two[:least])
    rest = least - first
    last = _equal(one[len(base) - rest :][::-1] != two[len(target) - rest :][::-1])
    return Ends(first, last)


def _equal(unlike: np.ndarray) -> int:
    """How many values are equal before the first unlike one."""
    at = int(unlike.argmax()) if len(unlike) else 0
    return at if len(unlike) and unlike[at] else len(unlike)


def make_delta(base: bytes, target: bytes, ends: Ends, *, tree: bool) -> bytes:
    """A delta in git's format: sizes, then copies from the base and insertions.

    Args:
        ends: ``shared_ends`` of both.
        tree: both are trees.
    """
    return b"".join(_instructions(base, target, ends, tree=tree))


def _instructions(base: bytes, target: bytes, ends: Ends, *, tree: bool) -> Iterator[bytes]:
    yield _size(len(base))
    yield _size(len(target))
    yield from _copies(0, ends.first)
    old, new = base[ends.first : len(base) - ends.last], target[ends.first : len(target) - ends.last]
    if min(len(old), len(new)) < _SMALLEST_SEARCHED or max(_pieces(old, tree), _pieces(new, tree)) > _MOST_PIECES:
        yield from _inserts(new)
    else:
        pattern = _ENTRY if tree else _LINE
        yield from _between(pattern.findall(old), ends.first, pattern.findall(new))
    yield from _copies(len(base) - ends.last, ends.last)


def _pieces(data: bytes, tree: bool) -> int:
    return len(data) // 21 if tree else data.count(b"\n")


def _between(old: list[bytes], begin: int, new: list[bytes]) -> Iterator[bytes]:
    """Instructions for new pieces: copies of runs of old ones, the first of which begins at an offset of the base."""
    offsets = [begin]
    for piece in old:
        offsets.append(offsets[-1] + len(piece))
    places = dict(zip(reversed(old), range(len(old) - 1, -1, -1), strict=True))
    kept: list[bytes] = []
    at, expected = 0, 0
    while at < len(new):
        found = expected if expected < len(old) and old[expected] == new[at] else places.get(new[at])
        if found is None:
            kept.append(new[at])
            at, expected = at + 1, expected + 1
            continue
        count = 1
        while at + count < len(new) and found + count < len(old) and new[at + count] == old[found + count]:
            count += 1
        size = offsets[found + count] - offsets[found]
        if size < _SMALLEST_COPY:
            kept.extend(new[at : at + count])
        else:
            yield from _inserts(b"".join(kept))
            kept.clear()
            yield from _copies(offsets[found], size)
        at, expected = at + count, found + count
    yield from _inserts(b"".join(kept))


def _size(size: int) -> bytes:
    """Seven bits per byte, lowest first."""
    digits = bytearray()
    while size > 0x7F:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def _copies(offset: int, size: int) -> Iterator[bytes]:
    """A byte whose bits say which bytes of offset and size follow; a size of 65,536 has none."""
    while size:
        part = min(size, _LONGEST_COPY)
        code, digits = 0x80, bytearray()
        for bit, digit in enumerate(offset.to_bytes(4, "little") + (part % _LONGEST_COPY).to_bytes(2, "little")):
            if digit:
                code |= 1 << bit
                digits.append(digit)
        yield bytes((code, *digits))
        offset, size = offset + part, size - part


def _inserts(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _LONGEST_INSERT):
        part = data[at : at + _LONGEST_INSERT]
        yield bytes((len(part),)) + part
