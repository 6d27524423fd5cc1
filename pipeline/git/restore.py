"""Rows back to a bare repository that C git reads: one pack of whole objects, packed refs and HEAD."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dulwich.pack import write_pack_index_v2

from pipeline.errors import CheckFailed, UsageError
from pipeline.model.headers import parse_oid

_TYPES: Final = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_HEADER_BYTES: Final = 12
_READ_BYTES: Final = 1 << 20
_CONFIG: Final = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

# What git-check-ref-format(1) forbids below refs/, so that a name cannot leave its line or its directory.
_FORBIDDEN: Final = re.compile(rb"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[/.]\Z")


@dataclass(frozen=True, slots=True)
class Head:
    """What HEAD says: the full name of a ref, which may be unborn, or else the 40 hexadecimal digits of a commit."""

    ref: bytes | None = None
    oid: bytes | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was written: distinct objects, bytes of the pack, refs without HEAD."""

    objects: int
    pack_bytes: int
    refs: int


def object_id(kind: str, raw: bytes) -> bytes:
    """The 20-byte id that git gives to a commit, tree, blob or tag with this body."""
    sha = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(raw)), usedforsecurity=False)
    sha.update(raw)
    return sha.digest()


class PackWriter:
    """Streams whole objects into a pack; how many there are need not be known before.

    The index is written by ``finish``; until then nothing in the directory is a pack to git. About 200 bytes of memory
    an object.

    Args:
        directory: ``objects/pack`` of a repository; must exist.
        level: of zlib. 1 is the fastest; a later ``git repack`` makes the pack small.
    """

    def __init__(self, directory: Path, *, level: int = 1) -> None:
        self._directory, self._level = directory, level
        self._partial = directory / "tmp_restore.pack"
        self._file = self._partial.open("w+b", buffering=_READ_BYTES)
        self._file.write(struct.pack(">4sII", b"PACK", 2, 0))
        self._offset = _HEADER_BYTES
        self._places: dict[bytes, int] = {}  # id to offset << 32 | crc32
        self._tag_targets: dict[bytes, bytes] = {}

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, kind: str, raw: bytes, expected: bytes | None = None) -> bytes:
        """Write one object, once however often it is added, and return its 20-byte id.

        Raises:
            CheckFailed: the bytes are not those of the expected id, or the kind is none of git's four.
        """
        if kind not in _TYPES:
            raise CheckFailed(f"git has no objects of kind {kind!r}")
        oid = object_id(kind, raw)
        if expected is not None and oid != expected:
            raise CheckFailed(f"{kind} {expected.hex()} is damaged: its bytes have the id {oid.hex()}")
        if oid in self._places:
            return oid
        head = _entry_head(_TYPES[kind], len(raw))
        body = zlib.compress(raw, self._level)
        self._file.write(head)
        self._file.write(body)
        self._places[oid] = self._offset << 32 | zlib.crc32(body, zlib.crc32(head))
        self._offset += len(head) + len(body)
        if kind == "tag" and raw.startswith(b"object "):
            target = parse_oid(raw[7:47].decode("latin-1"))
            if target is not None:
                self._tag_targets[oid] = target
        return oid

    def peel(self, oid: bytes) -> bytes | None:
        """What a tag of tags finally stands for, when it is an annotated tag whose whole chain was added."""
        target = self._tag_targets.get(oid)
        while target in self._tag_targets:
            target = self._tag_targets[target]
        return target if target in self._places else None

    def finish(self) -> int:
        """Complete the pack, index it, and give both their final names; returns the pack's size in bytes.

        Without any object there is no pack, and the size is 0.
        """
        if not self._places:
            self._file.close()
            self._partial.unlink()
            return 0
        self._file.seek(8)
        self._file.write(struct.pack(">I", len(self._places)))
        self._file.seek(0)
        sha = hashlib.sha1(usedforsecurity=False)
        while block := self._file.read(_READ_BYTES):
            sha.update(block)
        self._file.write(sha.digest())
        _sync_and_close(self._file)
        index = self._partial.with_suffix(".idx")
        entries = [(oid, place >> 32, place & 0xFFFFFFFF) for oid, place in sorted(self._places.items())]
        with index.open("wb") as file:
            write_pack_index_v2(file, entries, sha.digest())
            _sync_and_close(file)
        name = f"pack-{sha.hexdigest()}"
        self._partial.rename(self._directory / f"{name}.pack")
        index.rename(self._directory / f"{name}.idx")
        return self._offset + sha.digest_size


def write_repository(
    directory: Path,
    objects: Iterable[tuple[str, bytes] | tuple[str, bytes, bytes]],
    refs: Mapping[bytes, bytes],
    head: Head,
) -> Restored:
    """Write a bare repository that appears whole or not at all.

    It grows beside its place as ``.NAME.partial``; what a killed run left there is replaced.

    Args:
        directory: must not exist, or be empty.
        objects: kind and body, and the 20-byte id when it is known and to be checked; in any order, any number of times.
        refs: full name to 40 hexadecimal digits.
        head: what HEAD says.

    Raises:
        UsageError: the directory is in use, or another process is restoring to it.
        CheckFailed: an object does not have its id, a ref or HEAD names an object that is not among the objects, or
            a ref's name is none that git allows.
    """
    with _growing(directory) as partial:
        for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
            (partial / folder).mkdir(parents=True)
        with PackWriter(partial / "objects" / "pack") as pack:
            for item in objects:
                pack.add(item[0], item[1], item[2] if len(item) == 3 else None)
            packed_refs = b"".join(_packed_refs(refs, pack))
            said = _head_line(head, pack)
            size = pack.finish()
        (partial / "packed-refs").write_bytes(packed_refs)
        (partial / "config").write_bytes(_CONFIG)
        (partial / "HEAD").write_bytes(said)
    return Restored(len(pack), size, len(refs))


def _entry_head(number: int, size: int) -> bytes:
    """Type and size of a pack entry: 4 bits of the size, then 7 a byte, lowest first."""
    byte, size = number << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)


def _packed_refs(refs: Mapping[bytes, bytes], pack: PackWriter) -> Iterator[bytes]:
    yield b"# pack-refs with: peeled fully-peeled sorted \n"
    for name in sorted(refs):
        _check_name(name)
        oid = _stored(name, refs[name], pack)
        yield b"%s %s\n" % (oid.hex().encode(), name)
        peeled = pack.peel(oid)
        if peeled is not None:
            yield b"^%s\n" % peeled.hex().encode()


def _head_line(head: Head, pack: PackWriter) -> bytes:
    if head.ref is not None:
        _check_name(head.ref)
        return b"ref: %s\n" % head.ref
    return b"%s\n" % _stored(b"HEAD", head.oid or b"", pack).hex().encode()


def _check_name(name: bytes) -> None:
    if not name.startswith(b"refs/") or _FORBIDDEN.search(name):
        raise CheckFailed(f"{name!r} is not the name of a ref")


def _stored(name: bytes, digits: bytes, pack: PackWriter) -> bytes:
    oid = parse_oid(digits.decode("latin-1"))
    if oid is None or oid not in pack:
        shown = digits.decode("latin-1")
        raise CheckFailed(f"ref {name.decode('utf-8', 'backslashreplace')} names {shown!r}, which is not stored")
    return oid


def _sync_and_close(file: object) -> None:
    raise NotImplementedError


@contextmanager
def _growing(directory: Path) -> Iterator[Path]:
    raise NotImplementedError
