"""From a pack file to objects: each object once, bases before deltas, in bounded memory.

A pack is read twice. The scan (``ScannedPack``) walks the entries in file order and learns where each begins and ends
and what its base is; it inflates entries to find their ends, keeps small results while they fit, and discards the
others, so an object that claims to be huge costs time but no memory. ``Pack.objects`` then resolves delta chains depth
first from their full objects: first commits, tags and trees, then blobs, so that the consumer knows a blob's names
before its bytes arrive, whatever order the server sent.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator

from pipeline.git.delta_chains import DeltaChains, Frame
from pipeline.git.errors import BasesMissing
from pipeline.git.pack_format import PackedObject
from pipeline.git.scanned_pack import ScannedPack
from pipeline.model.objects import BLOB, SKELETON, GitObject, ObjectType

ENTRIES_PER_RELEASE = 1 << 16
"""Entries after which the pages of the pack read so far are released from the process's memory."""

External = Callable[[Collection[bytes], Collection[ObjectType]], Iterable[GitObject]]
"""Looks up delta bases that a thin pack leaves out: yields, one at a time, those of the ids that are archived as one
of the types."""


def no_external(ids: Collection[bytes], types: Collection[ObjectType]) -> Iterable[GitObject]:
    """Finds no bases: for packs that must be self-contained."""
    return ()


class Pack(ScannedPack):
    """A scanned pack that yields its objects."""

    def objects(self, external: External = no_external) -> Iterator[PackedObject]:
        """Yield every object of the pack once: blobs last, each delta after its base.

        Args:
            external: called twice or never, with the ids of bases that have not turned up: first for commits, tags
                and trees, then for blobs. The objects it returns must be archived already.

        Raises:
            PackCorrupt: a delta does not fit its base.
            BasesMissing: the bases of some deltas cannot be found; a cycle of deltas also ends like this.
            LimitExceeded: delta results exceed the limits.
        """
        with tempfile.TemporaryFile(dir=self._scratch) as spill:
            resolver = DeltaChains(self, spill)
            for types in (SKELETON, (BLOB,)):
                for index, type_num in enumerate(self.entries.type_num):
                    if index % ENTRIES_PER_RELEASE == 0:
                        self.map.madvise(mmap.MADV_DONTNEED)
                    if type_num in types:
                        yield from resolver.chain(index)
                for base in external(tuple(self._by_oid), types) if self._by_oid else ():
                    children = self._by_oid.pop(base.oid, None)
                    if children:
                        yield from resolver.descend(Frame(base.type, base.body, children, size=len(base.body)))
        if self._by_oid:
            lost = sum(map(len, self._by_oid.values()))
            raise BasesMissing(f"{lost} deltas have no base, for example {next(iter(self._by_oid)).hex()}")
