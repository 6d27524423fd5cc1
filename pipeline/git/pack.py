"""From a pack file to objects: every object once, bases before deltas, in bounded memory.

A pack is read twice. ``scan`` walks the entries in file order and learns where each begins and ends and what it is
based on; it inflates to find the ends, keeps small results while they fit, and throws the others away, so that an
object that claims to be huge costs time but no memory. ``Pack.objects`` then resolves delta chains depth first from
their full objects: first commits, tags and trees, then blobs, so that whoever consumes them knows a blob's names
before its bytes arrive, whatever order the server sent.

The format is that of git's ``gitformat-pack`` manual page.
"""

from __future__ import annotations

import mmap
import tempfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from pipeline.git.errors import BasesMissing, LimitExceeded, PackCorrupt
from pipeline.git.limits import MIB, Limits

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
KIND = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
HEADER_BYTES, TRAILER_BYTES = 12, 20

SMALL_BYTES = 1 * MIB
"""Results of the scan up to this size are kept while they fit the budget."""

DELTA_BYTES = 512 * MIB
"""Largest delta, delta base and delta result; git makes none of files over core.bigFileThreshold, 512 MiB."""

PLAIN_BYTES = 64 * MIB
"""Largest commit, tag or tree: a tree of a million entries. They are parsed whole."""

MAX_OBJECTS = 50_000_000
"""Most entries of a pack, each of which takes 60 bytes of memory; the largest public histories have 30 million."""

NUMBER_BITS = 56
ENTRIES_PER_CHECK = 4096
KEPT_OVERHEAD_BYTES = 150


class PackedObject(NamedTuple):
    """An object of a pack. ``data`` is None for a blob over the size limit, whose hashes are there all the same."""

    type_num: int
    oid: bytes
    size: int
    data: bytes | None
    sha256: bytes | None


External = Callable[[Collection[bytes], Collection[int]], Iterable[tuple[bytes, int, bytes]]]
"""Looks up delta bases that a thin pack leaves out: of these ids, those archived as one of these types, each with its
type number and bytes, one at a time."""


def no_external(ids: Collection[bytes], types: Collection[int]) -> Iterable[tuple[bytes, int, bytes]]:
    """For packs that must stand alone."""
    return ()


@dataclass(slots=True)
class _Frame:
    """A resolved base with children still to do. ``data`` is None while it waits in the spill file."""

    type_num: int
    data: bytes | None
    children: list[int]
    spilled_at: int = 0
    size: int = 0


@dataclass(slots=True)
class _Entries:
    """One number for each entry; ``base`` is the offset that an OFS_DELTA names, else 0."""

    offset: array[int] = field(default_factory=lambda: array("Q"))
    data_at: array[int] = field(default_factory=lambda: array("Q"))
    end: array[int] = field(default_factory=lambda: array("Q"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    base: array[int] = field(default_factory=lambda: array("Q"))
    type_num: bytearray = field(default_factory=bytearray)


class Pack:
    """A verified pack on local disk. Use as a context manager.

    Args:
        path: the file; its trailing checksum has been verified by whoever received it.
        origin: named in errors.
        limits: ``blob_bytes`` and ``inflated_bytes`` are used here.
        scratch: folder for bases that do not fit in memory.
        memory_bytes: bound on kept scan results, and again on bases that wait for their deltas.
        check: called now and then, and between pieces of a large object; may raise to stop.

    Raises:
        PackCorrupt: not a pack, an entry is damaged, or bytes are left over.
        LimitExceeded: the declared sizes add up to more than ``inflated_bytes``, or there are too many entries.
    """

    def __init__(
        self,
        path: Path,
        *,
        origin: str,
        limits: Limits,
        scratch: Path,
        memory_bytes: int = 128 * MIB,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.origin, self._limits, self._scratch, self._memory_bytes = origin, limits, scratch, memory_bytes
        self._check = check
        self._entries = _Entries()
        self._kept: dict[int, bytes] = {}
        self._by_oid: dict[bytes, list[int]] = {}
        self._inflated = 0
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < HEADER_BYTES + TRAILER_BYTES:
                raise PackCorrupt(origin, f"the pack has only {size} bytes")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._scan(size - TRAILER_BYTES)
            self._bases, self._deltas = self._families()
        except BaseException:
            self._map.close()
            raise

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._map.close()

    def __len__(self) -> int:
        return len(self._entries.offset)

    def _corrupt(self, at: int, why: str) -> PackCorrupt:
        return PackCorrupt(self.origin, f"the pack is damaged at byte {at}: {why}")

    def _scan(self, end: int) -> None:
        pack, entries = self._map, self._entries
        if pack[:4] != b"PACK" or int.from_bytes(pack[4:8], "big") not in (2, 3):
            raise self._corrupt(0, "no header of version 2 or 3")
        count = int.from_bytes(pack[8:12], "big")
        if count > MAX_OBJECTS:
            raise LimitExceeded(self.origin, f"the pack claims {count} objects, more than {MAX_OBJECTS}")
        at, room = HEADER_BYTES, self._memory_bytes
        by_oid, kept = self._by_oid, self._kept
        for index in range(count):
            if index % ENTRIES_PER_CHECK == 0:
                self._check()
            start, base = at, 0
            try:
                type_num, size, at = _entry_header(pack, at)
                if type_num == OFS_DELTA:
                    back, at = _base_offset(pack, at)
                    base = start - back
                    if not HEADER_BYTES <= base < start:
                        raise ValueError("the base of a delta is itself or not in the pack")
                elif type_num == REF_DELTA:
                    by_oid.setdefault(pack[at : at + 20], []).append(index)
                    at += 20
                elif type_num not in KIND:
                    raise ValueError(f"unknown entry type {type_num}")
                self._declare(type_num, size)
                entries.offset.append(start)
                entries.data_at.append(at)
                entries.size.append(size)
                entries.base.append(base)
                entries.type_num.append(type_num)
                keep = size <= SMALL_BYTES and size + KEPT_OVERHEAD_BYTES <= room
                at, data = _skip_stream(pack, at, end, size, keep=keep, check=self._check)
            except IndexError:
                raise self._corrupt(start, "the file ends inside an entry") from None
            except (zlib.error, ValueError) as error:
                raise self._corrupt(start, str(error)) from None
            entries.end.append(at)
            if keep:
                kept[index] = data
                room -= size + KEPT_OVERHEAD_BYTES
        if at != end:
            raise self._corrupt(at, f"{end - at} bytes are left over")

    def _declare(self, type_num: int, size: int) -> None:
        """Count what an entry or a delta result will inflate to, before it does."""
        self._inflated += size
        if self._inflated > self._limits.inflated_bytes:
            raise LimitExceeded(self.origin, f"the objects inflate to more than {self._limits.inflated_bytes} bytes")
        if type_num in (OFS_DELTA, REF_DELTA) and size > DELTA_BYTES:
            raise LimitExceeded(self.origin, f"a delta of {size} bytes, more than {DELTA_BYTES}")
        if type_num in (COMMIT, TAG, TREE) and size > PLAIN_BYTES:
            raise LimitExceeded(self.origin, f"a {KIND[type_num].decode()} of {size} bytes, more than {PLAIN_BYTES}")

    def _families(self) -> tuple[array[int], array[int]]:
        """Base offsets of all OFS_DELTAs in order, and the deltas in the same order: 16 bytes for each."""
        bases = np.frombuffer(self._entries.base, np.uint64)
        offsets = np.frombuffer(self._entries.offset, np.uint64)
        deltas = np.argsort(bases, kind="stable")
        deltas = deltas[np.count_nonzero(bases == 0) :]
        bases = bases[deltas]
        at = np.minimum(np.searchsorted(offsets, bases), max(len(offsets) - 1, 0))
        strays = bases[offsets[at] != bases] if len(bases) else bases
        if len(strays):
            raise self._corrupt(int(strays[0]), "the base of a delta begins inside another entry")
        return array("Q", bases.tobytes()), array("Q", deltas.astype(np.uint64).tobytes())

    def _children(self, offset: int, oid: bytes) -> list[int]:
        """The deltas on an entry at this offset with this id; each is given once."""
        bases, first = self._bases, bisect_left(self._bases, offset)
        last = first
        while last < len(bases) and bases[last] == offset:
            last += 1
        return self._deltas[first:last].tolist() + self._by_oid.pop(oid, [])

    def _inflate(self, index: int) -> bytes:
        kept = self._kept.pop(index, None)
        if kept is not None:
            return kept
        entries = self._entries
        stream = self._map[entries.data_at[index] : entries.end[index]]
        return zlib.decompress(stream, bufsize=entries.size[index] or 1)

    def objects(self, external: External = no_external) -> Iterator[PackedObject]:
        """Yield every object of the pack once: all but blobs first, each delta after its base.

        Args:
            external: called twice if it is at all, with the ids of bases that have not turned up: for commits, tags
                and trees, later for blobs. What it gives must be archived already.

        Raises:
            PackCorrupt: a delta does not fit its base.
            BasesMissing: the bases of some deltas are nowhere; this is also how a cycle ends.
            LimitExceeded: delta results exceed the limits.
        """
        with tempfile.TemporaryFile(dir=self._scratch) as spill:
            resolver = _Resolver(self, spill)
            for types in ((COMMIT, TAG, TREE), (BLOB,)):
                for index, type_num in enumerate(self._entries.type_num):
                    if type_num in types:
                        yield from resolver.chain(index)
                for oid, type_num, data in external(tuple(self._by_oid), types) if self._by_oid else ():
                    children = self._by_oid.pop(oid, None)
                    if children:
                        yield from resolver.descend(_Frame(type_num, data, children, size=len(data)))
        if self._by_oid:
            lost = sum(map(len, self._by_oid.values()))
            raise BasesMissing(
                self.origin, f"{lost} deltas have no base, one of them is {next(iter(self._by_oid)).hex()}"
            )


class _Resolver:
    """Depth-first resolution with an explicit stack whose bases move to the spill file when they exceed the budget.

    The oldest move first, so those in the file are always the bottom of the stack and the file is a stack, too.
    """

    def __init__(self, pack: Pack, spill: IO[bytes]) -> None:
        self._pack, self._spill = pack, spill
        self._stack: list[_Frame] = []
        self._held = 0
        self._spilled = 0

    def chain(self, index: int) -> Iterator[PackedObject]:
        """A full object and everything based on it."""
        pack = self._pack
        entries = pack._entries
        type_num, size, offset = entries.type_num[index], entries.size[index], entries.offset[index]
        if size > pack._limits.blob_bytes and type_num == BLOB:
            found = self._hash_only(index)
            yield found
            children = pack._children(offset, found.oid)
            if not children:
                return
            if size > DELTA_BYTES:
                raise LimitExceeded(pack.origin, f"a delta is based on {size} bytes, more than {DELTA_BYTES}")
            data = pack._inflate(index)
        else:
            data = pack._inflate(index)
            oid = _oid(type_num, data)
            yield self._result(type_num, oid, data)
            children = pack._children(offset, oid)
        if children:
            yield from self.descend(_Frame(type_num, data, children, size=len(data)))

    def descend(self, root: _Frame) -> Iterator[PackedObject]:
        """Everything based on a resolved object, which itself is not yielded."""
        pack, stack = self._pack, self._stack
        entries = pack._entries
        self._push(root)
        while stack:
            frame = stack[-1]
            index = frame.children.pop()
            base = self._load(frame)
            if not frame.children:
                self._pop()
            data = self._apply(root.type_num, base, pack._inflate(index), entries.offset[index])
            del base
            oid = _oid(root.type_num, data)
            yield self._result(root.type_num, oid, data)
            children = pack._children(entries.offset[index], oid)
            if children:
                self._push(_Frame(root.type_num, data, children, size=len(data)))

    def _apply(self, type_num: int, base: bytes, delta: bytes, at: int) -> bytes:
        pack = self._pack
        try:
            base_size, after = _number(delta, 0)
            size, _ = _number(delta, after)
            if base_size != len(base):
                raise ValueError(f"it is for {base_size} bytes instead of {len(base)}")
            if size > DELTA_BYTES:
                raise LimitExceeded(pack.origin, f"a delta of {len(delta)} bytes builds an object of {size}")
            pack._declare(type_num, size)
            return b"".join(apply_delta(base, delta))
        except (ApplyDeltaError, IndexError, ValueError) as error:
            raise pack._corrupt(at, f"the delta does not fit its base ({error})") from None

    def _result(self, type_num: int, oid: bytes, data: bytes) -> PackedObject:
        if type_num != BLOB:
            return PackedObject(type_num, oid, len(data), data, None)
        kept = data if len(data) <= self._pack._limits.blob_bytes else None
        return PackedObject(type_num, oid, len(data), kept, sha256(data).digest())

    def _hash_only(self, index: int) -> PackedObject:
        pack = self._pack
        entries = pack._entries
        size = entries.size[index]
        first, second = sha1(b"blob %d\0" % size, usedforsecurity=False), sha256()
        for piece in _pieces(pack._map, entries.data_at[index], entries.end[index]):
            pack._check()
            first.update(piece)
            second.update(piece)
        return PackedObject(BLOB, first.digest(), size, None, second.digest())

    def _push(self, frame: _Frame) -> None:
        self._stack.append(frame)
        self._held += frame.size
        while self._held > self._pack._memory_bytes and self._spilled < len(self._stack):
            oldest = self._stack[self._spilled]
            assert oldest.data is not None
            if self._spilled:
                below = self._stack[self._spilled - 1]
                oldest.spilled_at = below.spilled_at + below.size
            self._spill.seek(oldest.spilled_at)
            self._spill.write(oldest.data)
            oldest.data = None
            self._held -= oldest.size
            self._spilled += 1

    def _pop(self) -> None:
        frame = self._stack.pop()
        if frame.data is None:
            self._spilled -= 1
        else:
            self._held -= frame.size

    def _load(self, frame: _Frame) -> bytes:
        if frame.data is not None:
            return frame.data
        self._spill.seek(frame.spilled_at)
        return self._spill.read(frame.size)


def _oid(type_num: int, data: bytes) -> bytes:
    found = sha1(b"%s %d\0" % (KIND[type_num], len(data)), usedforsecurity=False)
    found.update(data)
    return found.digest()


def _entry_header(pack: mmap.mmap, at: int) -> tuple[int, int, int]:
    byte = pack[at]
    at += 1
    size = byte & 15
    if byte & 0x80:
        more, at = _number(pack, at)
        size |= more << 4
    return (byte >> 4) & 7, size, at


def _base_offset(pack: mmap.mmap, at: int) -> tuple[int, int]:
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


def _number(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    """Seven bits a byte, least significant first, and where they end."""
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


def _pieces(pack: mmap.mmap, at: int, end: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while not inflater.eof and at < end:
        yield inflater.decompress(pack[at : min(at + MIB, end)], MIB)
        at += MIB
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, MIB)
    yield inflater.flush()


def _skip_stream(
    pack: mmap.mmap, at: int, end: int, size: int, *, keep: bool, check: Callable[[], None]
) -> tuple[int, bytes]:
    """Find the end of a zlib stream that must inflate to ``size`` bytes; give back those bytes if they are kept.

    Slices of the map are copies: a view would still be held by an exception's traceback when the map is closed.
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
