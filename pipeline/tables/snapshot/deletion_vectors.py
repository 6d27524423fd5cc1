"""Iceberg's deletion vectors: the rows of a data file that a snapshot lacks.

A vector is a blob in a Puffin file: its length, four magic bytes, a portable 64-bit Roaring bitmap (32-bit bitmaps,
keyed by the upper halves of their numbers), and a checksum.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

_MAGIC = b"\xd1\xd3\x39\x64"
_WITHOUT_RUNS, _WITH_RUNS = 12346, 12347
_OFFSETS_FROM = 4
"""Bitmaps with runs have offsets only if they have at least this many containers."""

_ARRAY_UP_TO = 4096
_BITMAP_BYTES = 8192

Positions = npt.NDArray[np.int64]


def read_positions(storage: Storage, path: str, offset: int, length: int) -> Positions:
    """Sorted positions of the rows that a vector deletes.

    Args:
        path: path of the Puffin file, below the archive's root.
        offset: offset of the blob in it.
        length: length of the blob in bytes.

    Raises:
        StoredFileDamaged: the blob is no deletion vector, or its checksum is wrong.
    """
    with storage.open(path) as stream:
        stream.seek(offset)
        blob = stream.read(length)
    try:
        return parse_vector(blob)
    except (ValueError, struct.error, IndexError) as error:
        raise StoredFileDamaged(path, f"no deletion vector at {offset}: {error}") from error


def parse_vector(blob: bytes) -> Positions:
    """Sorted positions in a whole blob.

    Raises:
        ValueError, struct.error: the blob is no deletion vector.
    """
    (size,) = struct.unpack_from(">I", blob)
    body = blob[4 : 4 + size]
    (checksum,) = struct.unpack_from(">I", blob, 4 + size)
    if body[:4] != _MAGIC or zlib.crc32(body) != checksum:
        raise ValueError("wrong magic bytes or checksum")
    (count,) = struct.unpack_from("<Q", body, 4)
    at, found = 12, [np.empty(0, np.int64)]
    for _ in range(count):
        (key,) = struct.unpack_from("<I", body, at)
        low, at = _bitmap(body, at + 4)
        found.append(low + (key << 32))
    return np.concatenate(found)


def _bitmap(data: bytes, at: int) -> tuple[Positions, int]:
    """A 32-bit bitmap, and where it ends."""
    (cookie,) = struct.unpack_from("<I", data, at)
    at += 4
    runs = b""
    if cookie & 0xFFFF == _WITH_RUNS:
        size = (cookie >> 16) + 1
        runs = data[at : at + (size + 7) // 8]
        at += len(runs)
    elif cookie == _WITHOUT_RUNS:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
    else:
        raise ValueError(f"{cookie} does not start a bitmap")
    heads = np.frombuffer(data, "<u2", 2 * size, at).reshape(size, 2).astype(np.int64)
    at += 4 * size
    if not runs or size >= _OFFSETS_FROM:
        at += 4 * size
    found = [np.empty(0, np.int64)]
    for index, (key, less_one) in enumerate(heads.tolist()):
        is_run = bool(runs) and bool(runs[index // 8] >> (index % 8) & 1)
        low, at = _runs(data, at) if is_run else _container(data, at, less_one + 1)
        found.append(low + (key << 16))
    return np.concatenate(found), at


def _runs(data: bytes, at: int) -> tuple[Positions, int]:
    (count,) = struct.unpack_from("<H", data, at)
    pairs = np.frombuffer(data, "<u2", 2 * count, at + 2).reshape(count, 2).astype(np.int64)
    parts = [np.arange(begin, begin + more + 1) for begin, more in pairs.tolist()]
    return np.concatenate(parts) if parts else np.empty(0, np.int64), at + 2 + 4 * count


def _container(data: bytes, at: int, cardinality: int) -> tuple[Positions, int]:
    if cardinality <= _ARRAY_UP_TO:
        return np.frombuffer(data, "<u2", cardinality, at).astype(np.int64), at + 2 * cardinality
    bits = np.unpackbits(np.frombuffer(data, np.uint8, _BITMAP_BYTES, at), bitorder="little")
    return np.flatnonzero(bits).astype(np.int64), at + _BITMAP_BYTES
