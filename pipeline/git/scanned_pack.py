"""A pack on disk whose entries are known: where each begins and ends, what its base is, which deltas wait for it."""

from __future__ import annotations

import mmap
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from pipeline.git.errors import LimitExceeded, PackCorrupt
from pipeline.git.limits import MIB, Limits
from pipeline.git.pack_format import (
    DELTA_BYTES,
    HEADER_BYTES,
    OFS_DELTA,
    PLAIN_BYTES,
    REF_DELTA,
    TRAILER_BYTES,
    base_offset,
    entry_header,
    skip_stream,
)
from pipeline.model.objects import BY_NUMBER, SKELETON

SMALL_BYTES = 1 * MIB
"""Results of the scan up to this size are kept while they fit the budget."""

MAX_OBJECTS = 50_000_000
"""Most entries of a pack; each takes 60 bytes of memory. The largest public histories have 30 million."""

ENTRIES_PER_CHECK = 4096

KEPT_OVERHEAD_BYTES = 150


@dataclass(slots=True)
class Entries:
    """One number per entry and field; ``base`` is the offset that an OFS_DELTA names, else 0.

    The decoder uses the format's type numbers, for an ``ObjectType`` or a delta. Objects leave it with their type.
    """

    offset: array[int] = field(default_factory=lambda: array("Q"))
    data_at: array[int] = field(default_factory=lambda: array("Q"))
    end: array[int] = field(default_factory=lambda: array("Q"))
    size: array[int] = field(default_factory=lambda: array("Q"))
    base: array[int] = field(default_factory=lambda: array("Q"))
    type_num: bytearray = field(default_factory=bytearray)


class ScannedPack:
    """A verified pack on local disk. Use as a context manager.

    Args:
        path: the file; its receiver has verified its trailing checksum.
        limits: ``blob_bytes`` and ``inflated_bytes`` are used here.
        scratch: folder for bases that do not fit in memory.
        memory_bytes: limit of kept scan results, and the same again for bases that wait for their deltas.
        check: called now and then, and between pieces of a large object; may raise to stop.
        take: called with the number of bytes before the scratch file grows by them; may raise to stop.

    Raises:
        PackCorrupt: not a pack, an entry is damaged, or bytes are left over.
        LimitExceeded: the declared sizes add up to more than ``inflated_bytes``, or there are too many entries.
    """

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits,
        scratch: Path,
        memory_bytes: int = 64 * MIB,
        check: Callable[[], None] = lambda: None,
        take: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.limits, self._scratch, self.memory_bytes = limits, scratch, memory_bytes
        self.check, self.take = check, take
        self.entries = Entries()
        self._kept: dict[int, bytes] = {}
        self._by_oid: dict[bytes, list[int]] = {}
        self._inflated = 0
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < HEADER_BYTES + TRAILER_BYTES:
                raise PackCorrupt(f"the pack has only {size} bytes")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._scan(size - TRAILER_BYTES)
            self._bases, self._deltas = self._families()
        except BaseException:
            self.map.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.map.close()

    def __len__(self) -> int:
        return len(self.entries.offset)

    def corrupt(self, at: int, why: str) -> PackCorrupt:
        """The error for damage at an offset."""
        return PackCorrupt(f"the pack is damaged at byte {at}: {why}")

    def _scan(self, end: int) -> None:
        pack, entries = self.map, self.entries
        if pack[:4] != b"PACK" or int.from_bytes(pack[4:8], "big") not in (2, 3):
            raise self.corrupt(0, "no header of version 2 or 3")
        count = int.from_bytes(pack[8:12], "big")
        if count > MAX_OBJECTS:
            raise LimitExceeded(f"the pack claims {count} objects, more than {MAX_OBJECTS}")
        at, room = HEADER_BYTES, self.memory_bytes
        by_oid, kept = self._by_oid, self._kept
        for index in range(count):
            if index % ENTRIES_PER_CHECK == 0:
                self.check()
            start, base = at, 0
            try:
                type_num, size, at = entry_header(pack, at)
                if type_num == OFS_DELTA:
                    back, at = base_offset(pack, at)
                    base = start - back
                    if not HEADER_BYTES <= base < start:
                        raise ValueError("the base of a delta is itself or not in the pack")
                elif type_num == REF_DELTA:
                    by_oid.setdefault(pack[at : at + 20], []).append(index)
                    at += 20
                elif type_num not in BY_NUMBER:
                    raise ValueError(f"unknown entry type {type_num}")
                self.declare(type_num, size)
                entries.offset.append(start)
                entries.data_at.append(at)
                entries.size.append(size)
                entries.base.append(base)
                entries.type_num.append(type_num)
                keep = size <= SMALL_BYTES and size + KEPT_OVERHEAD_BYTES <= room
                at, data = skip_stream(pack, at, end, size, keep=keep, check=self.check)
            except IndexError:
                raise self.corrupt(start, "the file ends inside an entry") from None
            except (zlib.error, ValueError) as error:
                raise self.corrupt(start, str(error)) from None
            entries.end.append(at)
            if keep:
                kept[index] = data
                room -= size + KEPT_OVERHEAD_BYTES
        if at != end:
            raise self.corrupt(at, f"{end - at} bytes are left over")

    def declare(self, type_num: int, size: int) -> None:
        """Count the size of an entry or a delta result before it is inflated."""
        self._inflated += size
        if self._inflated > self.limits.inflated_bytes:
            raise LimitExceeded(f"the objects inflate to more than {self.limits.inflated_bytes} bytes")
        if type_num in (OFS_DELTA, REF_DELTA) and size > DELTA_BYTES:
            raise LimitExceeded(f"a delta of {size} bytes, more than {DELTA_BYTES}")
        if type_num in SKELETON and size > PLAIN_BYTES:
            raise LimitExceeded(f"a {BY_NUMBER[type_num].text} of {size} bytes, more than {PLAIN_BYTES}")

    def _families(self) -> tuple[array[int], array[int]]:
        """Base offsets of all OFS_DELTAs in order, and the deltas in the same order: 16 bytes each."""
        bases = np.frombuffer(self.entries.base, np.uint64)
        offsets = np.frombuffer(self.entries.offset, np.uint64)
        deltas = np.argsort(bases, kind="stable")
        deltas = deltas[np.count_nonzero(bases == 0) :]
        bases = bases[deltas]
        at = np.minimum(np.searchsorted(offsets, bases), max(len(offsets) - 1, 0))
        strays = bases[offsets[at] != bases] if len(bases) else bases
        if len(strays):
            raise self.corrupt(int(strays[0]), "the base of a delta begins inside another entry")
        return array("Q", bases.tobytes()), array("Q", deltas.astype(np.uint64).tobytes())

    def children(self, offset: int, oid: bytes) -> list[int]:
        """The deltas on an entry at this offset with this id; each is returned once."""
        bases, first = self._bases, bisect_left(self._bases, offset)
        last = first
        while last < len(bases) and bases[last] == offset:
            last += 1
        return self._deltas[first:last].tolist() + self._by_oid.pop(oid, [])

    def has_deltas(self, index: int) -> bool:
        """Whether an entry is the base of deltas that name its offset."""
        offset = self.entries.offset[index]
        at = bisect_left(self._bases, offset)
        return at < len(self._bases) and self._bases[at] == offset

    def inflate(self, index: int, *, again: bool = False) -> bytes:
        """An entry's bytes: an object, or a delta. Kept scan results are returned once, and ``again``."""
        kept = self._kept.get(index) if again else self._kept.pop(index, None)
        if kept is not None:
            return kept
        entries = self.entries
        stream = self.map[entries.data_at[index] : entries.end[index]]
        return zlib.decompress(stream, bufsize=entries.size[index] or 1)
