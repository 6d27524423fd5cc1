"""Writing git packs: objects or deltas of similar ones, streamed, counted and indexed at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from isal import isal_zlib

from pipeline.git.delta_window import DeltaWindow
from pipeline.git.pack_index import pack_index
from pipeline.model.errors import CheckFailed
from pipeline.model.links import OID_BYTES, tagged
from pipeline.model.objects import BLOB, TAG, TREE, GitObject, ObjectType, object_id

_HEADER_BYTES: Final = 12
_BLOCK_BYTES: Final = 1 << 20
_LEVEL: Final = 3
"""The best of ISA-L, a quarter of the CPU time of zlib's level 6 for a twentieth more bytes."""

_OFS_DELTA: Final = 6
"""Type of an entry that is a delta of an earlier one, given by the distance to it."""


class ObjectDamaged(CheckFailed):
    """The bytes of an object do not match its id."""

    def __init__(self, type_: ObjectType, oid: bytes, hashed: bytes) -> None:
        super().__init__(type_, oid, hashed)
        self.type, self.oid, self.hashed = type_, oid, hashed

    def __str__(self) -> str:
        return f"{self.type.text} {self.oid.hex()} is damaged: its bytes have the id {self.hashed.hex()}"


class PackPart(NamedTuple):
    """Entries of a pack in a file of their own, written by ``PartWriter``.

    Attributes:
        ids: their 20-byte ids, one after the other.
        places: offset in the file << 32 | CRC-32 of each.
    """

    path: Path
    ids: bytes
    places: array[int]


class PartWriter:
    """Writes entries of a pack that others may append to it. Deltas name their base by its distance, so they stay true.

    Args:
        file: where to write.
        offset: offset of the first entry in ``file``.
    """

    def __init__(self, file: IO[bytes], offset: int = 0) -> None:
        self._file, self._offset = file, offset
        self._window = DeltaWindow()
        self.places: dict[bytes, int] = {}

    def add(self, found: GitObject, name: str = "") -> bool:
        """Write one object, whole or as a delta of an earlier one; False for one that is here already.

        Args:
            name: a file name of a blob; versions of a file are deltas of each other.

        Raises:
            ObjectDamaged: its bytes do not match its id.
        """
        type_, oid, raw = found
        hashed = object_id(type_, raw)
        if hashed != oid:
            raise ObjectDamaged(type_, oid, hashed)
        if oid in self.places:
            return False
        delta = self._window.delta(type_, name, raw) if type_ in (BLOB, TREE) else None
        if delta is None:
            head, data = _entry_head(type_, len(raw)), raw
        else:
            head = _entry_head(_OFS_DELTA, len(delta.data)) + _distance(self._offset - delta.offset)
            data = delta.data
        self._window.remember(type_, name, raw, self._offset, 0 if delta is None else delta.depth)
        body = isal_zlib.compress(data, _LEVEL)
        self._file.write(head)
        self._file.write(body)
        self.places[oid] = self._offset << 32 | zlib.crc32(body, zlib.crc32(head))
        self._offset += len(head) + len(body)
        return True

    def append(self, part: PackPart) -> None:
        """Append the entries of a part, none of which may be here already."""
        with part.path.open("rb") as file:
            shutil.copyfileobj(file, self._file, _BLOCK_BYTES)
        for number, place in enumerate(part.places):
            self.places[part.ids[number * OID_BYTES : (number + 1) * OID_BYTES]] = place + (self._offset << 32)
        self._offset += part.path.stat().st_size

    def end(self) -> int:
        """The offset behind the last entry."""
        return self._offset


@contextmanager
def writing_part(path: Path) -> Iterator[tuple[PartWriter, Callable[[], PackPart]]]:
    """A new part of a pack in a file, and a function that completes it."""
    with path.open("xb", buffering=_BLOCK_BYTES) as file:
        writer = PartWriter(file)

        def done() -> PackPart:
            file.flush()
            return PackPart(path, b"".join(writer.places), array("Q", writer.places.values()))

        yield writer, done


class PackWriter:
    """Streams objects into a pack; their number need not be known in advance.

    ``finish`` writes the index; until then git sees no pack in the directory. Takes about 140 bytes of memory per
    object, twice that while indexing, and the window of bases for deltas.

    Args:
        directory: ``objects/pack`` of a repository; must exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._partial = directory / "tmp_restore.pack"
        self._file = self._partial.open("w+b", buffering=_BLOCK_BYTES)
        self._file.write(struct.pack(">4sII", b"PACK", 2, 0))
        self._part = PartWriter(self._file, _HEADER_BYTES)
        self._places = self._part.places
        self._tagged: dict[bytes, tuple[bytes, ObjectType] | None] = {}
        self._peeled: dict[bytes, bytes | None] = {}

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, found: GitObject, name: str = "") -> None:
        """Write one object; repeated additions of it are ignored.

        Args:
            name: a file name of a blob.

        Raises:
            ObjectDamaged: its bytes do not match its id.
        """
        if self._part.add(found, name) and found.type is TAG:
            self._tagged[found.oid] = tagged(found.body)

    def append(self, part: PackPart) -> None:
        """Append entries that were written elsewhere, without tags; none of them may be in the pack already."""
        self._part.append(part)

    def peel(self, oid: bytes) -> bytes | None:
        """What a chain of tags finally points at, added or not; None if git does not take the object for a tag.

        As in git, the type that a tag states decides whether another tag follows.
        """
        chain: list[bytes] = []
        at, type_ = oid, TAG
        while type_ is TAG and at not in self._peeled:
            chain.append(at)
            further = self._tagged.get(at)
            if further is None:
                self._peeled.update(dict.fromkeys(chain))
                return None
            at, type_ = further
        end = self._peeled[at] if type_ is TAG else at
        self._peeled.update(dict.fromkeys(chain, end))
        return end

    def finish(self) -> int:
        """Complete the pack, index it, and give both their final names; returns the pack's size in bytes.

        Without objects there is no pack, and the size is 0.
        """
        if not self._places:
            self._file.close()
            self._partial.unlink()
            return 0
        self._file.seek(8)
        self._file.write(struct.pack(">I", len(self._places)))
        self._file.seek(0)
        sha = hashlib.sha1(usedforsecurity=False)
        while block := self._file.read(_BLOCK_BYTES):
            sha.update(block)
        self._file.write(sha.digest())
        _sync_and_close(self._file)
        index = self._partial.with_suffix(".idx")
        with index.open("wb") as file:
            file.write(pack_index(self._places, sha.digest()))
            _sync_and_close(file)
        name = f"pack-{sha.hexdigest()}"
        self._partial.rename(self._directory / f"{name}.pack")
        index.rename(self._directory / f"{name}.idx")
        return self._part.end() + sha.digest_size


def _entry_head(number: int, size: int) -> bytes:
    """Type and size of a pack entry: 4 bits of the size, then 7 per byte, lowest first."""
    byte, size = number << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)


def _distance(distance: int) -> bytes:
    """The distance to a base: 7 bits per byte, highest first, where each further byte also counts one more."""
    digits = bytearray((distance & 0x7F,))
    while distance := distance >> 7:
        distance -= 1
        digits.insert(0, distance & 0x7F | 0x80)
    return bytes(digits)


def _sync_and_close(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
