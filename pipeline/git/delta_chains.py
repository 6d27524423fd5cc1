"""Objects out of delta chains, depth first, each built once, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import IO

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from pipeline.git.errors import LimitExceeded
from pipeline.git.pack_format import DELTA_BYTES, PackedObject, inflate_pieces, number
from pipeline.git.scanned_pack import ScannedPack
from pipeline.model.objects import BLOB, BY_NUMBER, ObjectType, object_id


@dataclass(slots=True)
class Frame:
    """A resolved base with unresolved children. ``data`` is None while it waits in the spill file."""

    type: ObjectType
    data: bytes | None
    children: list[int]
    spilled_at: int = 0
    size: int = 0


class DeltaChains:
    """Depth-first resolution with an explicit stack. Bases beyond the memory budget move to the spill file.

    The oldest move first, so the bases in the file are always the bottom of the stack, and the file is a stack, too.
    """

    def __init__(self, pack: ScannedPack, spill: IO[bytes]) -> None:
        self._pack, self._spill = pack, spill
        self._stack: list[Frame] = []
        self._held = 0
        self._spilled = 0
        self._spill_bytes = 0

    def chain(self, index: int) -> Iterator[PackedObject]:
        """A full object and everything based on it."""
        pack = self._pack
        entries = pack.entries
        type_, size, offset = BY_NUMBER[entries.type_num[index]], entries.size[index], entries.offset[index]
        if size > pack.limits.blob_bytes and type_ is BLOB:
            found = self._hash_only(index)
            yield found
            children = pack.children(offset, found.oid)
            if not children:
                return
            if size > DELTA_BYTES:
                raise LimitExceeded(f"a delta is based on {size} bytes, more than {DELTA_BYTES}")
            data = pack.inflate(index)
        else:
            data = pack.inflate(index)
            oid = object_id(type_, data)
            yield self._result(index, type_, oid, data)
            children = pack.children(offset, oid)
        if children:
            yield from self.descend(Frame(type_, data, children, size=len(data)))

    def descend(self, root: Frame) -> Iterator[PackedObject]:
        """Everything based on a resolved object, which itself is not yielded."""
        pack, stack = self._pack, self._stack
        entries = pack.entries
        self._push(root)
        while stack:
            frame = stack[-1]
            index = frame.children.pop()
            base = self._load(frame)
            if not frame.children:
                self._pop()
            data = self._apply(root.type, base, pack.inflate(index), entries.offset[index])
            del base
            oid = object_id(root.type, data)
            yield self._result(index, root.type, oid, data)
            children = pack.children(entries.offset[index], oid)
            if children:
                self._push(Frame(root.type, data, children, size=len(data)))

    def _apply(self, type_: ObjectType, base: bytes, delta: bytes, at: int) -> bytes:
        pack = self._pack
        try:
            base_size, after = number(delta, 0)
            size, _ = number(delta, after)
            if base_size != len(base):
                raise ValueError(f"it is for {base_size} bytes instead of {len(base)}")
            if size > DELTA_BYTES:
                raise LimitExceeded(f"a delta of {len(delta)} bytes builds an object of {size}")
            pack.declare(type_, size)
            return b"".join(apply_delta(base, delta))
        except (ApplyDeltaError, IndexError, ValueError) as error:
            raise pack.corrupt(at, f"the delta does not fit its base ({error})") from None

    def _result(self, index: int, type_: ObjectType, oid: bytes, data: bytes) -> PackedObject:
        packed_bytes = self._packed_bytes(index)
        if type_ is not BLOB:
            return PackedObject(type_, oid, len(data), data, None, packed_bytes)
        kept = data if len(data) <= self._pack.limits.blob_bytes else None
        return PackedObject(type_, oid, len(data), kept, sha256(data).digest(), packed_bytes)

    def _hash_only(self, index: int) -> PackedObject:
        pack = self._pack
        entries = pack.entries
        size = entries.size[index]
        first, second = sha1(BLOB.header % size, usedforsecurity=False), sha256()
        for piece in inflate_pieces(pack.map, entries.data_at[index], entries.end[index]):
            pack.check()
            first.update(piece)
            second.update(piece)
        return PackedObject(BLOB, first.digest(), size, None, second.digest(), self._packed_bytes(index))

    def _packed_bytes(self, index: int) -> int:
        entries = self._pack.entries
        return entries.end[index] - entries.data_at[index]

    def _push(self, frame: Frame) -> None:
        self._stack.append(frame)
        self._held += frame.size
        while self._held > self._pack.memory_bytes and self._spilled < len(self._stack):
            oldest = self._stack[self._spilled]
            assert oldest.data is not None
            if self._spilled:
                below = self._stack[self._spilled - 1]
                oldest.spilled_at = below.spilled_at + below.size
            grown = oldest.spilled_at + oldest.size - self._spill_bytes
            if grown > 0:
                self._pack.take(grown)
                self._spill_bytes += grown
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

    def _load(self, frame: Frame) -> bytes:
        if frame.data is not None:
            return frame.data
        self._spill.seek(frame.spilled_at)
        return self._spill.read(frame.size)
