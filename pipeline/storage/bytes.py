"""The bytes of stored files: their SHA-256, and whether Hadoop's own checksum file beside them agrees."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.paths import side_path

CHUNK_BYTES = 1 << 20
THREADS = 8
AHEAD = 4 * THREADS
"""Items that are begun, or whose results wait, at once."""
_SIDE_MAGIC = b"crc\0"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file that was read to its end. ``side`` is whether Hadoop's checksums match, None if there are none."""

    path: str
    size_bytes: int
    sha256: bytes
    side: bool | None


def hash_file(storage: Storage, path: str, *, with_side: bool) -> Hashed | None:
    """Read a file to its end; None if it is gone.

    Args:
        with_side: also compare with Hadoop's checksum file, if there is one.
    """
    side = _read_side(storage, path) if with_side else None
    sums = None if side is None else _Sums(side)
    digest, size = hashlib.sha256(), 0
    try:
        with storage.open(path) as stream:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                size += len(chunk)
                if sums is not None:
                    sums.feed(chunk)
    except FileMissing:
        return None
    return Hashed(path, size, digest.digest(), None if sums is None else sums.agree())


def read_checked(storage: Storage, path: str) -> bytes:
    """A whole small file, compared with Hadoop's checksum file, if there is one.

    Raises:
        StoredFileDamaged: it is gone, or the two disagree.
    """
    try:
        data = storage.read(path)
    except FileMissing as error:
        raise StoredFileDamaged(path, "the file is gone") from error
    side = _read_side(storage, path)
    if side is not None:
        sums = _Sums(side)
        for at in range(0, len(data), CHUNK_BYTES):
            sums.feed(data[at : at + CHUNK_BYTES])
        if not sums.agree():
            raise StoredFileDamaged(path, "it does not match Hadoop's checksum file beside it")
    return data


def sums_agree(storage: Storage, path: str) -> bool | None:
    """Whether a file has the checksums that Hadoop's file beside it says; None if there is no such file.

    Raises:
        FileMissing: the file is gone.
    """
    side = _read_side(storage, path)
    if side is None:
        return None
    sums = _Sums(side)
    with storage.open(path) as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            sums.feed(chunk)
    return sums.agree()


def _read_side(storage: Storage, path: str) -> bytes | None:
    if not has_sides(storage):
        return None
    try:
        return storage.read(side_path(path))
    except FileMissing:
        return None


def has_sides(storage: Storage) -> bool:
    """Whether Hadoop keeps checksum files on this storage; HDFS has its own checksums."""
    return storage.root_uri.startswith("file:")


class _Sums:
    """Compares chunks with a checksum file: a magic, bytes per checksum, then the CRC-32 of each such piece."""

    def __init__(self, side: bytes) -> None:
        self._known = side[:4] == _SIDE_MAGIC and len(side) >= 8
        self._piece = int.from_bytes(side[4:8], "big")
        self._known = self._known and 0 < self._piece <= CHUNK_BYTES and CHUNK_BYTES % self._piece == 0
        self._said, self._at = side[8:], 0

    def feed(self, chunk: bytes) -> None:
        if not self._known:
            return
        view, step = memoryview(chunk), self._piece
        found = b"".join(zlib.crc32(view[at : at + step]).to_bytes(4, "big") for at in range(0, len(chunk), step))
        self._known = self._said[self._at : self._at + len(found)] == found
        self._at += len(found)

    def agree(self) -> bool:
        return self._known and self._at == len(self._said)


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of a function for each item, in order; storage and hashing both release the interpreter's lock.

    Holds few items and results at once, however many there are. The first error ends it.
    """
    waiting = deque[Future[R]]()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(function, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
