"""Writing git packs: whole objects, streamed, counted and indexed at the end."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Final

from dulwich.pack import write_pack_index_v2

from pipeline.errors import CheckFailed
from pipeline.model.links import tagged
from pipeline.model.objects import TAG, GitObject, ObjectType, object_id

_HEADER_BYTES: Final = 12
_BLOCK_BYTES: Final = 1 << 20


class PackWriter:
    """Streams whole objects into a pack; their number need not be known in advance.

    ``finish`` writes the index; until then git sees no pack in the directory. Takes about 140 bytes of memory per
    object, twice that while indexing.

    Args:
        directory: ``objects/pack`` of a repository; must exist.
        level: zlib level. 1 is the fastest; a later ``git repack`` makes the pack small.
    """

    def __init__(self, directory: Path, *, level: int = 1) -> None:
        self._directory, self._level = directory, level
        self._partial = directory / "tmp_restore.pack"
        self._file = self._partial.open("w+b", buffering=_BLOCK_BYTES)
        self._file.write(struct.pack(">4sII", b"PACK", 2, 0))
        self._offset = _HEADER_BYTES
        self._places: dict[bytes, int] = {}  # id to offset << 32 | crc32
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

    def add(self, found: GitObject) -> None:
        """Write one object; repeated additions of it are ignored.

        Raises:
            CheckFailed: its bytes do not match its id.
        """
        type_, oid, raw = found
        hashed = object_id(type_, raw)
        if hashed != oid:
            raise CheckFailed(f"{type_.text} {oid.hex()} is damaged: its bytes have the id {hashed.hex()}")
        if oid in self._places:
            return
        head = _entry_head(type_, len(raw))
        body = zlib.compress(raw, self._level)
        self._file.write(head)
        self._file.write(body)
        self._places[oid] = self._offset << 32 | zlib.crc32(body, zlib.crc32(head))
        self._offset += len(head) + len(body)
        if type_ is TAG:
            self._tagged[oid] = tagged(raw)

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
        entries = ((oid, self._places[oid] >> 32, self._places[oid] & 0xFFFFFFFF) for oid in sorted(self._places))
        with index.open("wb") as file:
            write_pack_index_v2(file, entries, sha.digest())
            _sync_and_close(file)
        name = f"pack-{sha.hexdigest()}"
        self._partial.rename(self._directory / f"{name}.pack")
        index.rename(self._directory / f"{name}.idx")
        return self._offset + sha.digest_size


def _entry_head(number: int, size: int) -> bytes:
    """Type and size of a pack entry: 4 bits of the size, then 7 per byte, lowest first."""
    byte, size = number << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)


def _sync_and_close(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
