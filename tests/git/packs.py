"""Packs built entry by entry, and C git's verdict on them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.git.limits import Limits
from pipeline.git.pack import External, Pack, no_external
from pipeline.git.pack_format import PackedObject
from pipeline.model.objects import GitObject, ObjectType
from tests.support.git import git, git_environment

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
NAMES = {COMMIT: "commit", TREE: "tree", BLOB: "blob", TAG: "tag"}
NUMBERS = {name: number for number, name in NAMES.items()}


def number(value: int) -> bytes:
    """A number of seven bits per byte, least significant first, as deltas encode sizes."""
    done = bytearray()
    while value > 127:
        done.append(value & 127 | 128)
        value >>= 7
    return bytes([*done, value])


def header(kind: int, size: int) -> bytes:
    """Type and inflated size of an entry."""
    first, rest = size & 15, size >> 4
    return bytes([kind << 4 | first | (128 if rest else 0)]) + (number(rest) if rest else b"")


def back(distance: int) -> bytes:
    """The distance to the base of an OFS_DELTA."""
    done = [distance & 127]
    while distance := distance >> 7:
        distance -= 1
        done.insert(0, distance & 127 | 128)
    return bytes(done)


def full(kind: int, data: bytes, *, claims: int | None = None) -> bytes:
    """An entry that is not a delta; ``claims`` is the size in its header."""
    return header(kind, len(data) if claims is None else claims) + zlib.compress(data, 1)


def ofs_delta(distance: int, delta: bytes) -> bytes:
    return header(OFS_DELTA, len(delta)) + back(distance) + zlib.compress(delta, 1)


def ref_delta(base: bytes, delta: bytes) -> bytes:
    return header(REF_DELTA, len(delta)) + base + zlib.compress(delta, 1)


def insert(data: bytes) -> bytes:
    """Delta instructions that write these bytes."""
    return b"".join(bytes([len(data[at : at + 127])]) + data[at : at + 127] for at in range(0, len(data), 127))


def copy(offset: int, size: int) -> bytes:
    """The delta instruction that copies less than 16 MiB of the base."""
    return b"\xff" + offset.to_bytes(4, "little") + size.to_bytes(3, "little")


def delta(base_bytes: int, result_bytes: int, instructions: bytes) -> bytes:
    return number(base_bytes) + number(result_bytes) + instructions


def replace_all(base: bytes, result: bytes) -> bytes:
    """A delta that ignores its base."""
    return delta(len(base), len(result), insert(result))


def append(base: bytes, more: bytes) -> bytes:
    """A delta that adds to the end of its base."""
    return delta(len(base), len(base) + len(more), (copy(0, len(base)) if base else b"") + insert(more))


def pack_of(entries: Iterable[bytes], *, count: int | None = None, after: bytes = b"") -> bytes:
    """A whole pack; ``count`` is the count in its header, ``after`` comes between the last entry and the checksum."""
    bodies = list(entries)
    body = b"PACK" + (2).to_bytes(4, "big") + (len(bodies) if count is None else count).to_bytes(4, "big")
    body += b"".join(bodies) + after
    return body + hashlib.sha1(body).digest()


def zeros(total: int) -> bytes:
    """A zlib stream of ``total`` zeros, made in little memory."""
    packer, done = zlib.compressobj(9), []
    for _ in range(total >> 20):
        done.append(packer.compress(bytes(1 << 20)))
    return b"".join([*done, packer.flush()])


def oid_of(kind: int, data: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0" % (NAMES[kind].encode(), len(data)) + data).digest()


def outside(objects: Mapping[bytes, tuple[int, bytes]]) -> External:
    """An archive that holds these objects."""

    def look_up(ids: Iterable[bytes], types: Iterable[int]) -> Iterator[GitObject]:
        wanted = set(types)
        for oid in ids:
            if oid in objects and objects[oid][0] in wanted:
                type_num, body = objects[oid]
                yield GitObject(ObjectType(type_num), oid, body)

    return look_up


def read_pack(
    folder: Path,
    data: bytes,
    external: External = no_external,
    *,
    memory_bytes: int = 128 << 20,
    limits: Limits | None = None,
) -> list[PackedObject]:
    """Everything in a pack, in the order of our decoder."""
    path = folder / "test.pack"
    path.write_bytes(data)
    limits = limits or Limits()
    with Pack(path, limits=limits, scratch=folder, memory_bytes=memory_bytes) as pack:
        return list(pack.objects(external))


def read_in_child(folder: Path, data: bytes, *, limits: Limits | None = None, address_space: int = 0) -> dict[str, Any]:
    """The same in a child process: ``objects`` (id, type, size, whether there is data), ``error``, ``peak_bytes``."""
    path = folder / "child.pack"
    path.write_bytes(data)
    options = (limits or Limits()).model_dump_json()
    command = [sys.executable, "-m", "tests.git.child", str(path), str(folder), options, str(address_space)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def everything(repo: Path) -> dict[bytes, tuple[int, bytes]]:
    """Every object of a repository, as git outputs it."""
    command = ["git", "-C", str(repo), "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    said = subprocess.run(command, capture_output=True, check=True, env=git_environment()).stdout
    found, at = {}, 0
    while at < len(said):
        end = said.index(b"\n", at)
        oid, kind, size = said[at:end].split()
        at = end + 1 + int(size)
        found[bytes.fromhex(oid.decode())] = NUMBERS[kind.decode()], said[end + 1 : at]
        at += 1
    return found


def pack_objects(repo: Path, *options: str, stdin: bytes = b"") -> bytes:
    return git(repo, "pack-objects", "--stdout", "-q", *options, stdin=stdin)


def check(found: Sequence[PackedObject], expected: Mapping[bytes, tuple[int, bytes]]) -> None:
    """Each expected object occurs once with its bytes and its hashes, blobs last."""
    assert {o.oid: (o.type, o.data) for o in found} == expected
    assert len(found) == len(expected)
    kinds = [o.type == BLOB for o in found]
    assert kinds == sorted(kinds), "a blob came before something else"
    for o in found:
        assert o.data is not None
        assert o.size == len(o.data)
        assert o.sha256 == (hashlib.sha256(o.data).digest() if o.type == BLOB else None)
