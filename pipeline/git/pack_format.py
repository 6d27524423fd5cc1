"""The parts of git's pack format, as in its ``gitformat-pack`` manual page: numbers, entries, streams."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pipeline.git.limits import MIB
from pipeline.model.objects import ObjectType

OFS_DELTA, REF_DELTA = 6, 7
"""Types of entries, in addition to those of ``ObjectType``."""

HEADER_BYTES, TRAILER_BYTES = 12, 20

DELTA_BYTES = 512 * MIB
"""Largest delta, delta base and delta result; git makes no deltas of files over core.bigFileThreshold, 512 MiB."""

PLAIN_BYTES = 64 * MIB
"""Largest commit, tag or tree: a tree of a million entries. They are parsed whole."""

NUMBER_BITS = 56


class PackedObject(NamedTuple):
    """An object of a pack, where it has ``packed_bytes``. ``data`` is None for a blob over the size limit, which
    still has its hashes."""

    type: ObjectType
    oid: bytes
    size: int
    data: bytes | None
    sha256: bytes | None
    packed_bytes: int


def entry_header(pack: mmap.mmap, at: int) -> tuple[int, int, int]:
    """Type number and declared size of the entry at this offset, and the end of its header.

    Raises:
        IndexError: the file ends first.
        ValueError: the size has more than ``NUMBER_BITS`` bits.
    """
    byte = pack[at]
    at += 1
    size = byte & 15
    if byte & 0x80:
        more, at = number(pack, at)
        size |= more << 4
    return (byte >> 4) & 7, size, at


def base_offset(pack: mmap.mmap, at: int) -> tuple[int, int]:
    """Distance from a delta back to its base, and the end of that number; raises like ``entry_header``."""
    byte = pack[at]
    at += 1
    back = byte & 0x7F
    while byte & 0x80:
        byte = pack[at]
        at += 1
        back = ((back + 1) << 7) | (byte & 0x7F)
        if back >> NUMBER_BITS:
            raise ValueError(f"an offset of more than {NUMBER_BITS} bits")
    return back, at


def number(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, least significant first, and where it ends."""
    found, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return found, at
        shift += 7
        if shift > NUMBER_BITS:
            raise ValueError(f"a size of more than {NUMBER_BITS} bits")


def inflate_pieces(pack: mmap.mmap, at: int, end: int) -> Iterator[bytes]:
    """A stream's bytes in pieces of at most a mebibyte."""
    inflater = zlib.decompressobj()
    while not inflater.eof and at < end:
        yield inflater.decompress(pack[at : min(at + MIB, end)], MIB)
        at += MIB
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, MIB)
    yield inflater.flush()


def skip_stream(
    pack: mmap.mmap, at: int, end: int, size: int, *, keep: bool, check: Callable[[], None]
) -> tuple[int, bytes]:
    """Find the end of a zlib stream that must inflate to ``size`` bytes; return those bytes if they are kept.

    Slices of the map are copies: an exception's traceback would still hold a view when the map is closed.
    """
    inflater = zlib.decompressobj()
    step = min(size // 2 + 128, MIB)
    fed = min(at + step, end)
    piece = inflater.decompress(pack[at:fed], min(size + 1, MIB))
    pieces, got = [piece], len(piece)
    while not inflater.eof:
        check()
        tail = inflater.unconsumed_tail
        if not tail:
            if fed >= end:
                raise ValueError("the file ends inside a compressed stream")
            tail = pack[fed : min(fed + step, end)]
            fed = min(fed + step, end)
        piece = inflater.decompress(tail, min(size + 1 - got, MIB))
        got += len(piece)
        if got > size:
            raise ValueError(f"inflates to more than {size} bytes")
        if keep:
            pieces.append(piece)
    if got != size:
        raise ValueError(f"inflates to {got} bytes instead of {size}")
    return fed - len(inflater.unused_data), b"".join(pieces) if keep else b""
