"""The commits that changed a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.model.tables import COMMITS, OID
from pipeline.model.tree import kind_of
from pipeline.read.one_origin import Place
from pipeline.read.stored import StoredTables
from pipeline.read.tree_rows import Entry, TreeRows

_SAID = ("author_name", "author_email", "author_time", "committer_time", "message")
SCHEMA = pa.schema(
    [
        ("commit", OID),
        ("status", pa.string()),
        ("mode", pa.int32()),
        ("oid", OID),
        ("old_mode", pa.int32()),
        ("old_oid", OID),
        *(COMMITS.arrow_schema.field(name) for name in _SAID),
    ]
)


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit made of a path, against its first parent; None where there is no such path."""

    commit: bytes
    new: Entry | None
    old: Entry | None

    @property
    def status(self) -> str:
        """A (added), D (deleted), T (another kind) or M (modified), as ``git diff-tree`` says it."""
        if self.old is None or self.new is None:
            return "A" if self.old is None else "D"
        return "M" if kind_of(self.old[0]) == kind_of(self.new[0]) else "T"


class Graph:
    """The commits of a network: their trees and parents, by id."""

    def __init__(self, tables: StoredTables, place: Place) -> None:
        self._tables, self._place = tables, place
        self.tree: dict[bytes, bytes] = {}
        self.parents: dict[bytes, Sequence[bytes]] = {}
        for batch in tables.visible("commits", ["oid", "tree", "parents"], {"network": place.network}, place.bucket):
            for row in batch.to_pylist():
                self.tree[row["oid"]] = row["tree"]
                self.parents[row["oid"]] = row["parents"] or ()

    def reachable(self, tip: bytes) -> list[bytes]:
        """A commit and all that come before it, as they are found; those that the archive lacks are left out."""
        seen, todo = {tip: None}, [tip]
        while todo:
            new = [oid for oid in self.parents[todo.pop()] if oid not in seen and oid in self.tree]
            seen |= dict.fromkeys(new)
            todo += new
        return list(seen)

    def changes(self, tip: bytes, trees: TreeRows, path: str) -> list[Change]:
        """The commits up to a tip whose entry of a path differs from that of every parent.

        For a file these are the commits of which ``git diff-tree -c --root`` names it: no merge that took one side.

        Raises:
            UsageError: the path is empty.
        """
        mine = self.reachable(tip)
        entries = entries_at({self.tree[oid] for oid in mine}, trees, path)
        found = []
        for oid in mine:
            new = entries.get(self.tree[oid])
            olds = [entries.get(self.tree[parent]) if parent in self.tree else None for parent in self.parents[oid]]
            if new not in (olds or [None]):
                found.append(Change(oid, new, olds[0] if olds else None))
        return found

    def rows(self, changes: Sequence[Change]) -> pa.Table:
        """Changes with what their commits say, newest first by committer's time: columns of ``SCHEMA``."""
        by_commit = {change.commit: change for change in changes}
        wanted = pa.array(list(by_commit), OID)
        equal = {"network": self._place.network}
        said = {}
        for batch in self._tables.visible("commits", ["oid", *_SAID], equal, self._place.bucket):
            for row in batch.filter(pc.is_in(batch.column("oid"), value_set=wanted)).to_pylist():
                said[row.pop("oid")] = row
        rows = [{**_columns(change), **said[oid]} for oid, change in by_commit.items()]
        return pa.Table.from_pylist(rows, SCHEMA).sort_by([("committer_time", "descending")])


def entries_at(roots: set[bytes], trees: TreeRows, path: str) -> Mapping[bytes, Entry]:
    """The entry of a path below each of some root trees that has one.

    Raises:
        UsageError: the path is empty.
    """
    parts = [part for part in path.encode().split(b"/") if part]
    if not parts:
        raise UsageError("give a path of a file or folder, from the root of the repository")
    at = {root: root for root in roots}
    found: dict[bytes, Entry] = {}
    for name in parts:
        entries = trees.entries(set(at.values()), name)
        found = {root: entries[tree] for root, tree in at.items() if tree in entries}
        at = {root: oid for root, (mode, oid) in found.items() if kind_of(mode) == "tree"}
    return found


def _columns(change: Change) -> dict[str, object]:
    new, old = change.new or (None, None), change.old or (None, None)
    return {
        "commit": change.commit,
        "status": change.status,
        "mode": new[0],
        "oid": new[1],
        "old_mode": old[0],
        "old_oid": old[1],
    }
