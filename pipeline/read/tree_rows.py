"""The trees of a network by id, read from its data files a level of folders at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.tables import OID
from pipeline.model.tree import entries_before_damage
from pipeline.rules.walk import subtrees
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.rows import Group, rows_of

Entry = tuple[int, bytes]
"""Mode and id of an entry of a tree."""


class TreeRows:
    """Trees by id. Only row groups that have a wanted tree are read.

    Args:
        groups: the rows of the network, each row group with the ids of its rows.
        hidden: ids that readers must not see.

    Raises:
        StoredFileDamaged: from every method, if a file is damaged or gone.
    """

    def __init__(self, storage: Storage, groups: Sequence[tuple[Group, pa.Array]], hidden: Collection[bytes]) -> None:
        self._storage, self._groups, self._hidden = storage, groups, hidden

    def below(self, roots: Collection[bytes]) -> dict[bytes, bytes]:
        """The bodies of some trees and of all trees below them; those that the archive lacks are left out."""
        found: dict[bytes, bytes] = {}
        wanted = set(roots)
        while wanted:
            level = self.bodies(wanted)
            found |= level
            wanted = {child for body in level.values() for child in subtrees(body)} - found.keys()
        return found

    def bodies(self, trees: Collection[bytes]) -> dict[bytes, bytes]:
        """The bodies of some trees; those that the archive lacks are left out."""
        return dict(self._find(set(trees)))

    def entries(self, trees: Collection[bytes], name: bytes) -> dict[bytes, Entry]:
        """The entry of a name in each of some trees; trees that have none, or that the archive lacks, are left out."""
        return entries_of(self._find(set(trees)), name)

    def _find(self, wanted: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """The bodies of some trees, each once."""
        left = wanted - set(self._hidden)
        for group, oids in self._groups:
            if not left:
                return
            chosen = np.asarray(pc.is_in(oids, value_set=pa.array(list(left), OID)).to_numpy(zero_copy_only=False))
            if not chosen.any():
                continue
            for batch in rows_of(self._storage, group.part(chosen), ["oid", "content"]):
                for oid, body in zip(*(batch.column(name).to_pylist() for name in ("oid", "content")), strict=True):
                    if oid in left:
                        left.discard(oid)
                        yield oid, body


def entries_of(trees: Iterable[tuple[bytes, bytes]], name: bytes) -> dict[bytes, Entry]:
    """The entry of a name in each of some trees that has one, by the tree's id.

    Args:
        trees: ids and bodies.
    """
    found = {}
    for oid, body in trees:
        if name in body:
            mine = ((mode, child) for mode, called, child in entries_before_damage(body) if called == name)
            entry = next(mine, None)
            if entry is not None:
                found[oid] = entry
    return found
