"""Made-up repositories: real git objects, equal for equal numbers, made when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random

from benchmarks.histories import FILES_OF_A_FOLDER, LINE_BYTES, Source
from pipeline.model.objects import BLOB, COMMIT, TREE, ObjectType, object_id
from pipeline.rules.negotiation import Ref

HEAD, MAIN = b"HEAD", b"refs/heads/main"
FIRST = 1
"""The first version of a repository; each later one is a commit on top."""

_EPOCH = 1_700_000_000
_POOL_LINES = 20_000
_FILE, _FOLDER = b"100644", b"40000"


@dataclass(frozen=True, slots=True)
class Made:
    """An object; ``name`` is a blob's name in its tree."""

    type: ObjectType
    oid: bytes
    body: bytes
    name: bytes | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """All that a commit's tree leads to, and the commit, last."""

    objects: tuple[Made, ...]

    @property
    def tip(self) -> bytes:
        """The commit's id."""
        return self.objects[-1].oid

    @property
    def ids(self) -> set[bytes]:
        """The ids of the objects."""
        return {made.oid for made in self.objects}


@dataclass(frozen=True, slots=True)
class Shape:
    """What all repositories have in common.

    Attributes:
        files: at HEAD.
        changed: files that each version after the first changes, in turns.
        blob_bytes: mean size of a file.
    """

    files: int
    changed: int
    blob_bytes: int

    def version(self, number: int, version: int) -> Version:
        """A version of a repository."""
        return _version(self, number, version)

    def added(self, number: int, version: int) -> Iterator[Made]:
        """The objects that a version adds to those before it."""
        before = self.version(number, version - 1).ids if version > FIRST else set()
        return (made for made in self.version(number, version).objects if made.oid not in before)

    def written(self, file: int, version: int) -> int:
        """The newest version, at most this one, that wrote a file."""
        for later in range(version, FIRST, -1):
            if (file - (later - FIRST - 1) * self.changed) % self.files < self.changed:
                return later
        return FIRST


def refs_at(tip: bytes) -> dict[bytes, Ref]:
    """The refs of an origin whose branch is at a commit."""
    return {HEAD: Ref(tip, MAIN), MAIN: Ref(tip)}


@lru_cache(maxsize=256)
def _version(shape: Shape, number: int, version: int) -> Version:
    blobs = [_blob(shape, number, file, shape.written(file, version)) for file in range(shape.files)]
    folders = [
        _made(TREE, b"".join(_entry(_FILE, blob.name or b"", blob.oid) for blob in blobs[at : at + FILES_OF_A_FOLDER]))
        for at in range(0, shape.files, FILES_OF_A_FOLDER)
    ]
    root = _made(TREE, b"".join(_entry(_FOLDER, b"part%05d" % at, folder.oid) for at, folder in enumerate(folders)))
    parent = b"parent %s\n" % _version(shape, number, version - 1).tip.hex().encode() if version > FIRST else b""
    who = b"Some Body <body%d@example.org> %d +0100" % (number % 40, _EPOCH + 3600 * version)
    tree, message = root.oid.hex().encode(), b"Change %d of %d\n" % (version, number)
    commit = _made(COMMIT, b"tree %b\n%bauthor %b\ncommitter %b\n\n%b" % (tree, parent, who, who, message))
    return Version((*blobs, *folders, root, commit))


def _blob(shape: Shape, number: int, file: int, version: int) -> Made:
    random = Random(number * shape.files + file)  # noqa: S311 - the same text every time
    count = max(round(random.expovariate(LINE_BYTES / shape.blob_bytes)), 1)
    title = b"/* file %d of repository %d, version %d */\n" % (file, number, version)
    return _made(BLOB, title + b"".join(random.choices(_lines(), k=count)), b"file%07d.c" % file)


@cache
def _lines() -> list[bytes]:
    return Source(Random(1)).lines(_POOL_LINES)  # noqa: S311 - as above


def _entry(mode: bytes, name: bytes, oid: bytes) -> bytes:
    return b"%b %b\0%b" % (mode, name, oid)


def _made(type_: ObjectType, body: bytes, name: bytes | None = None) -> Made:
    return Made(type_, object_id(type_, body), body, name)
