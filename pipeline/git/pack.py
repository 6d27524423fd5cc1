"""From a pack file to objects: each object once, bases before deltas, in bounded memory.

A pack is read twice, and some full blobs once more. The scan (``ScannedPack``) walks the entries in file order and
learns where each begins and ends and what its base is; it inflates entries to find their ends, keeps small results
while they fit, and discards the others, so an object that claims to be huge costs time but no memory. ``Pack.objects``
then resolves delta chains depth first from their full objects: first commits, tags and trees, then blobs, so that the
consumer knows a blob's names before its bytes arrive, whatever order the server sent. Where deltas build many bytes of
blobs, the chains come in the order of these names, so that versions of a file are close to each other (decision 79).
"""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.git.delta_chains import DeltaChains, Frame
from pipeline.git.errors import BasesMissing
from pipeline.git.pack_format import PackedObject
from pipeline.git.scanned_pack import ScannedPack
from pipeline.model.objects import BLOB, SKELETON, GitObject, ObjectType, object_id

ENTRIES_PER_RELEASE = 1 << 16
"""Entries after which the pages of the pack read so far are released from the process's memory."""

CHAINS_PER_RELEASE = 1 << 10
"""The same for chains that are read in another order than they have in the pack."""

MANY_BYTES: Final = 64 << 20
"""Bytes that deltas between blobs build in the order of the pack. If they build more, the chains that are left come in
the order of names."""

External = Callable[[Collection[bytes], Collection[ObjectType]], Iterable[GitObject]]
"""Looks up delta bases that a thin pack leaves out: yields, one at a time, those of the ids that are archived as one
of the types."""

IntArray = npt.NDArray[np.unsignedinteger]

NameOf = Callable[[bytes], bytes]
"""The name of a blob, empty if unknown."""


def no_external(ids: Collection[bytes], types: Collection[ObjectType]) -> Iterable[GitObject]:
    """Finds no bases: for packs that must be self-contained."""
    return ()


class Pack(ScannedPack):
    """A scanned pack that yields its objects."""

    def objects(self, external: External = no_external, name_of: NameOf | None = None) -> Iterator[PackedObject]:
        """Yield every object of the pack once: blobs last, each delta after its base.

        Args:
            name_of: called after the last tree, with ids of blobs that have deltas; None: the pack's order is kept.
            external: called twice or never, with the ids of bases that have not turned up: first for commits, tags
                and trees, then for blobs. The objects it returns must be archived already.

        Raises:
            PackCorrupt: a delta does not fit its base.
            BasesMissing: the bases of some deltas cannot be found; a cycle of deltas also ends like this.
            LimitExceeded: delta results exceed the limits.
        """
        with tempfile.TemporaryFile(dir=self._scratch) as spill:
            resolver = DeltaChains(self, spill)
            for types, full in (SKELETON, self._full(SKELETON)), ((BLOB,), self._blobs(name_of)):
                for index in full:
                    yield from resolver.chain(index)
                for base in external(tuple(self._by_oid), types) if self._by_oid else ():
                    children = self._by_oid.pop(base.oid, None)
                    if children:
                        yield from resolver.descend(Frame(base.type, base.body, children, size=len(base.body)))
        if self._by_oid:
            lost = sum(map(len, self._by_oid.values()))
            raise BasesMissing(f"{lost} deltas have no base, for example {next(iter(self._by_oid)).hex()}")

    def _full(self, types: Collection[ObjectType]) -> Iterator[int]:
        """Full objects of some types, in the order of the pack."""
        for index, type_num in enumerate(self.entries.type_num):
            if index % ENTRIES_PER_RELEASE == 0:
                self.map.madvise(mmap.MADV_DONTNEED)
            if type_num in types:
                yield index

    def _blobs(self, name_of: NameOf | None) -> Iterator[int]:
        """Full blobs: in the order of the pack, then in that of their names."""
        full, before = self._full((BLOB,)), self._inflated
        for index in full:
            yield index
            if name_of is not None and self._inflated - before > MANY_BYTES:
                for count, rest in enumerate(self._by_name(full, name_of)):
                    if count % CHAINS_PER_RELEASE == 0:
                        self.map.madvise(mmap.MADV_DONTNEED)
                    yield int(rest)

    def _by_name(self, full: Iterator[int], name_of: NameOf) -> IntArray:
        """Full blobs by extension and name; those of one name keep the order of the pack. Those that no delta names by
        their offset, and those too large to be archived, have no name here: they come first. The others are inflated
        twice. Each takes 8 bytes of memory; while they are sorted, 40, and 250 and its length for each name.
        """
        indexes, numbers = array("I"), array("I")
        known: dict[bytes, int] = {}
        for count, index in enumerate(full):
            self.check()
            if count % CHAINS_PER_RELEASE == 0:
                self.map.madvise(mmap.MADV_DONTNEED)
            is_named = self.has_deltas(index) and self.entries.size[index] <= self.limits.blob_bytes
            name = name_of(object_id(BLOB, self.inflate(index, again=True))) if is_named else b""
            indexes.append(index)
            numbers.append(known.setdefault(name, len(known)))
        ranks = np.empty(len(known), np.uint32)
        ranks[[known[name] for name in sorted(known, key=_by_extension)]] = np.arange(len(known))
        order = np.argsort(ranks[np.array(numbers, np.uint32)], kind="stable")
        return np.array(indexes, np.uint32)[order]


def _by_extension(name: bytes) -> tuple[bytes, ...]:
    return name.rpartition(b".")[::-1]
