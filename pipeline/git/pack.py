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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from pipeline.git.errors import BasesMissing, LimitExceeded, PackCorrupt
from pipeline.git.limits import MIB, Limits

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
KIND = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
HEADER_BYTES, TRAILER_BYTES = 12, 20

SMALL_BYTES = 1 * MIB
"""Results of the scan up to this size are kept while they fit the budget."""

DELTA_RESULT_BYTES = 512 * MIB
"""Largest delta result that is built; git does not make deltas of files over core.bigFileThreshold, 512 MiB."""


class PackedObject(NamedTuple):
    """An object of a pack. ``data`` is None for a blob over the size limit, whose hashes are there all the same."""

    type_num: int
    oid: bytes
    size: int
    data: bytes | None
    sha256: bytes | None


External = Callable[[Iterable[bytes]], Mapping[bytes, tuple[int, bytes]]]
"""Looks up delta bases that a thin pack leaves out: ids to type number and bytes, for those that are archived."""


def no_external(ids: Iterable[bytes]) -> Mapping[bytes, tuple[int, bytes]]:
    """For packs that must stand alone."""
    return {}


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
    offset: array[int] = field(default_factory=lambda: array("Q"))
    data_at: array[int] = field(default_factory=lambda: array("Q"))
    end: array[int] = field(default_factory=lambda: array("Q"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    type_num: bytearray = field(default_factory=bytearray)


class Pack:
    """A verified pack on local disk. Use as a context manager.

    Args:
        path: the file; its trailing checksum has been verified by whoever received it.
        origin: named in errors.
        limits: ``blob_bytes`` and ``inflated_bytes`` are used here.
        scratch: folder for bases that do not fit in memory.
        memory_bytes: bound on kept scan results, and again on bases that wait for their deltas.

    Raises:
        PackCorrupt: not a pack, an entry is damaged, or bytes are left over.
        LimitExceeded: the declared sizes add up to more than ``inflated_bytes``.
    """

    def __init__(
        self, path: Path, *, origin: str, limits: Limits, scratch: Path, memory_bytes: int = 128 * MIB
    ) -> None:
        self.origin, self._limits, self._scratch, self._memory_bytes = origin, limits, scratch, memory_bytes
        self._entries = _Entries()
        self._kept: dict[int, bytes] = {}
        self._by_offset: dict[int, list[int]] = {}
        self._by_oid: dict[bytes, list[int]] = {}
        self._inflated = 0
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < HEADER_BYTES + TRAILER_BYTES:
                raise PackCorrupt(origin, f"the pack has only {size} bytes")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._scan(size - TRAILER_BYTES)
        except BaseException:
            self._map.close()
            raise

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._map.close()

    def __len__(self) -> int:
        return len(self._entries.offset)

    @property
    def named_bases(self) -> Iterable[bytes]:
        """Ids that deltas name as their bases, in the pack or not."""
        return self._by_oid.keys()

    def _corrupt(self, at: int, why: str) -> PackCorrupt:
        return PackCorrupt(self.origin, f"the pack is damaged at byte {at}: {why}")

    def _scan(self, end: int) -> None:
        pack, entries = self._map, self._entries
        if pack[:4] != b"PACK" or int.from_bytes(pack[4:8], "big") not in (2, 3):
            raise self._corrupt(0, "no header of version 2 or 3")
        at, room = HEADER_BYTES, self._memory_bytes
        inflated_limit, declared = self._limits.inflated_bytes, 0
        by_offset, by_oid, kept = self._by_offset, self._by_oid, self._kept
        with memoryview(pack) as view:
            for index in range(int.from_bytes(pack[8:12], "big")):
                start = at
                try:
                    type_num, size, at = _entry_header(pack, at)
                    if type_num == OFS_DELTA:
                        back, at = _base_offset(pack, at)
                        by_offset.setdefault(start - back, []).append(index)
                    elif type_num == REF_DELTA:
                        by_oid.setdefault(pack[at : at + 20], []).append(index)
                        at += 20
                    elif type_num not in KIND:
                        raise self._corrupt(start, f"unknown entry type {type_num}")
                except IndexError:
                    raise self._corrupt(start, "the file ends inside an entry") from None
                declared += size
                if declared > inflated_limit:
                    raise LimitExceeded(self.origin, f"the objects inflate to more than {inflated_limit} bytes")
                entries.offset.append(start)
                entries.data_at.append(at)
                entries.size.append(size)
                entries.type_num.append(type_num)
                keep = size <= SMALL_BYTES and size <= room
                try:
                    at, data = _skip_stream(view, at, end, size, keep=keep)
                except (zlib.error, ValueError) as error:
                    raise self._corrupt(start, str(error)) from None
                entries.end.append(at)
                if keep:
                    kept[index] = data
                    room -= size
        self._inflated = declared
        if at != end:
            raise self._corrupt(at, f"{end - at} bytes are left over")

    def _inflate(self, index: int) -> bytes:
        kept = self._kept.pop(index, None)
        if kept is not None:
            return kept
        entries = self._entries
        with memoryview(self._map) as view, view[entries.data_at[index] : entries.end[index]] as stream:
            return zlib.decompress(stream, bufsize=entries.size[index] or 1)

    def objects(self, external: External = no_external) -> Iterator[PackedObject]:
        """Yield every object of the pack once: all but blobs first, each delta after its base.

        Args:
            external: called once with the ids of bases that deltas name, and again at the end with those that are
                still unknown; what it returns must be archived already.

        Raises:
            PackCorrupt: a delta does not fit its base.
        BasesMissing: the bases of some deltas are nowhere; this is also how a cycle ends.
            LimitExceeded: delta results exceed the limits.
        """
        roots = [i for i, t in enumerate(self._entries.type_num) if t in (COMMIT, TAG, TREE)]
        blobs = [i for i, t in enumerate(self._entries.type_num) if t == BLOB]
        outside = external(self._by_oid.keys()) if self._by_oid else {}
        with tempfile.TemporaryFile(dir=self._scratch) as spill:
            resolver = _Resolver(self, spill)
            for index in roots:
                yield from resolver.chain(index)
            for wanted in ((COMMIT, TAG, TREE), (BLOB,)):
                for oid, (type_num, data) in outside.items():
                    if type_num in wanted and (children := self._by_oid.pop(oid, None)):
                        yield from resolver.descend(_Frame(type_num, data, children, size=len(data)))
                if wanted != (BLOB,):
                    for index in blobs:
                        yield from resolver.chain(index)
        if self._by_oid or self._by_offset:
            lost = sum(map(len, self._by_oid.values())) + sum(map(len, self._by_offset.values()))
            example = next((oid.hex() for oid in self._by_oid), None) or f"offset {next(iter(self._by_offset))}"
            raise BasesMissing(self.origin, f"{lost} deltas have no base, one of them is {example}")


class _Resolver:
    """Depth-first resolution with an explicit stack whose bases move to the spill file when they exceed the budget."""

    def __init__(self, pack: Pack, spill: IO[bytes]) -> None:
        self._pack, self._spill = pack, spill
        self._stack: list[_Frame] = []
        self._held = 0

    def chain(self, index: int) -> Iterator[PackedObject]:
        """A full object and everything based on it."""
        pack = self._pack
        entries = pack._entries
        type_num, size, offset = entries.type_num[index], entries.size[index], entries.offset[index]
        if size > pack._limits.blob_bytes and type_num == BLOB and offset not in pack._by_offset:
            found = self._hash_only(index)
            if found.oid not in pack._by_oid:
                yield found
                return
        if size > DELTA_RESULT_BYTES:
            raise LimitExceeded(pack.origin, f"a {KIND[type_num].decode()} of {size} bytes, or its delta base")
        data = pack._inflate(index)
        oid = sha1(b"%s %d\0" % (KIND[type_num], len(data)), usedforsecurity=False)
        oid.update(data)
        yield self._result(type_num, oid.digest(), data)
        children = self._children(offset, oid.digest())
        if children:
            yield from self.descend(_Frame(type_num, data, children, size=len(data)))

    def descend(self, root: _Frame) -> Iterator[PackedObject]:
        """Everything based on a resolved object, which itself is not yielded."""
        pack, stack = self._pack, self._stack
        entries, header = pack._entries, KIND[root.type_num]
        self._push(root)
        while stack:
            frame = stack[-1]
            index = frame.children.pop()
            base = self._load(frame)
            if not frame.children:
                stack.pop()
                if frame.data is not None:
                    self._held -= frame.size
            delta = pack._inflate(index)
            data = self._apply(base, delta, entries.offset[index])
            del base, delta
            oid = sha1(b"%s %d\0" % (header, len(data)), usedforsecurity=False)
            oid.update(data)
            yield self._result(root.type_num, oid.digest(), data)
            children = self._children(entries.offset[index], oid.digest())
            if children:
                self._push(_Frame(root.type_num, data, children, size=len(data)))

    def _children(self, offset: int, oid: bytes) -> list[int]:
        pack = self._pack
        return pack._by_offset.pop(offset, []) + pack._by_oid.pop(oid, [])

    def _apply(self, base: bytes, delta: bytes, at: int) -> bytes:
        pack = self._pack
        try:
            size = _delta_result_size(delta)
            if size > DELTA_RESULT_BYTES:
                raise LimitExceeded(pack.origin, f"a delta of {len(delta)} bytes builds an object of {size}")
            pack._inflated += size
            if pack._inflated > pack._limits.inflated_bytes:
                raise LimitExceeded(
                    pack.origin, f"the objects inflate to more than {pack._limits.inflated_bytes} bytes"
                )
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
        with memoryview(pack._map) as view:
            for piece in _pieces(view, entries.data_at[index], entries.end[index]):
                first.update(piece)
                second.update(piece)
        return PackedObject(BLOB, first.digest(), size, None, second.digest())

    def _push(self, frame: _Frame) -> None:
        self._stack.append(frame)
        self._held += frame.size
        for older in self._stack:
            if self._held <= self._pack._memory_bytes:
                break
            if older.data is not None:
                older.spilled_at = self._spill.seek(0, 2)
                self._spill.write(older.data)
                older.data = None
                self._held -= older.size

    def _load(self, frame: _Frame) -> bytes:
        if frame.data is not None:
            return frame.data
        self._spill.seek(frame.spilled_at)
        return self._spill.read(frame.size)


def _entry_header(pack: mmap.mmap, at: int) -> tuple[int, int, int]:
    byte = pack[at]
    at += 1
    type_num, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = pack[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
    return type_num, size, at


def _base_offset(pack: mmap.mmap, at: int) -> tuple[int, int]:
    byte = pack[at]
    at += 1
    back = byte & 0x7F
    while byte & 0x80:
        byte = pack[at]
        at += 1
        back = ((back + 1) << 7) | (byte & 0x7F)
    return back, at


def _delta_result_size(delta: bytes) -> int:
    at = 0
    while delta[at] & 0x80:
        at += 1
    at += 1
    size, shift = 0, 0
    while True:
        byte = delta[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size


def _pieces(view: memoryview, at: int, end: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while not inflater.eof and at < end:
        piece = inflater.decompress(view[at : at + MIB], MIB)
        at += MIB
        yield piece
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, MIB)
    yield inflater.flush()


def _skip_stream(view: memoryview, at: int, end: int, size: int, *, keep: bool) -> tuple[int, bytes]:
    """Find the end of a zlib stream that must inflate to ``size`` bytes; give back those bytes if they are kept."""
    inflater = zlib.decompressobj()
    step = min(size // 2 + 128, MIB)
    if keep:
        piece = inflater.decompress(view[at : min(at + step, end)], size + 1)
        if inflater.eof:
            if len(piece) != size:
                raise ValueError(f"inflates to {len(piece)} bytes instead of {size}")
            return min(at + step, end) - len(inflater.unused_data), piece
        pieces, got, fed = [piece], len(piece), min(at + step, end)
    else:
        pieces, got, fed = [], 0, at
    while not inflater.eof:
        tail: bytes | memoryview = inflater.unconsumed_tail
        if not tail:
            if fed >= end:
                raise ValueError("the file ends inside a compressed stream")
            tail = view[fed : min(fed + step, end)]
            fed = min(fed + step, end)
        piece = inflater.decompress(tail, min(size + 1 - got, MIB) or 1)
        got += len(piece)
        if got > size:
            raise ValueError(f"inflates to more than {size} bytes")
        if keep:
            pieces.append(piece)
    if got != size:
        raise ValueError(f"inflates to {got} bytes instead of {size}")
    return fed - len(inflater.unused_data), b"".join(pieces)
