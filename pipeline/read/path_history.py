"""The commits that changed a path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.errors import UsageError
from pipeline.model.tables import COMMITS, OID
from pipeline.model.tree import kind_of
from pipeline.read.one_origin import Place
from pipeline.read.stored import StoredTables
from pipeline.read.tree_rows import Entry
from pipeline.rules.commit_diff import EMPTY_TREE

SAID = ("author_name", "author_email", "author_time", "committer_time", "message")
SCHEMA = pa.schema(
    [
        ("commit", OID),
        ("status", pa.string()),
        ("mode", pa.int32()),
        ("oid", OID),
        ("old_mode", pa.int32()),
        ("old_oid", OID),
        *(COMMITS.arrow_schema.field(name) for name in SAID),
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


class Entries(Protocol):
    """Where entries of trees are looked up."""

    def entries(self, trees: Collection[bytes], name: bytes) -> Mapping[bytes, Entry]:
        """The entry of a name in each of some trees that has one."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The commits of a network: their root trees, the empty tree if they name none, and parents, by id."""

    tree: Mapping[bytes, bytes]
    parents: Mapping[bytes, Sequence[bytes]]

    def reachable(self, tip: bytes) -> list[bytes]:
        """A commit and all that come before it, as they are found; those that the archive lacks are left out."""
        seen, todo = {tip: None}, [tip]
        while todo:
            new = [oid for oid in self.parents[todo.pop()] if oid not in seen and oid in self.tree]
            seen |= dict.fromkeys(new)
            todo += new
        return list(seen)

    def changes(self, tip: bytes, trees: Entries, path: str | bytes) -> list[Change]:
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


def read_graph(tables: StoredTables, place: Place) -> Graph:
    """The commits of a network."""
    tree, parents = {}, {}
    for batch in tables.visible("commits", ["oid", "tree", "parents"], {"network": place.network}, place.bucket):
        for row in batch.to_pylist():
            tree[row["oid"]] = row["tree"] or EMPTY_TREE
            parents[row["oid"]] = row["parents"] or ()
    return Graph(tree, parents)


def said(tables: StoredTables, place: Place, commits: Collection[bytes]) -> dict[bytes, dict[str, Any]]:
    """What some commits say: author, times and message, by id."""
    wanted = pa.array(list(commits), OID)
    found = {}
    for batch in tables.visible("commits", ["oid", *SAID], {"network": place.network}, place.bucket):
        for row in batch.filter(pc.is_in(batch.column("oid"), value_set=wanted)).to_pylist():
            found[row.pop("oid")] = row
    return found


def change_rows(tables: StoredTables, place: Place, changes: Sequence[Change]) -> pa.Table:
    """Changes with what their commits say, newest first by committer's time: columns of ``SCHEMA``."""
    by_commit = said(tables, place, [change.commit for change in changes])
    rows = [{**_columns(change), **by_commit[change.commit]} for change in changes]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by([("committer_time", "descending")])


def entries_at(roots: Collection[bytes], trees: Entries, path: str | bytes) -> Mapping[bytes, Entry]:
    """The entry of a path below each of some root trees that has one.

    Raises:
        UsageError: the path is empty.
    """
    parts = exact_path(path).split(b"/")
    at = {root: root for root in roots}
    found: dict[bytes, Entry] = {}
    for name in parts:
        entries = trees.entries(set(at.values()), name)
        found = {root: entries[tree] for root, tree in at.items() if tree in entries}
        at = {root: oid for root, (mode, oid) in found.items() if kind_of(mode) == "tree"}
    return found


def exact_path(path: str | bytes) -> bytes:
    """A path as trees name it.

    Raises:
        UsageError: it is empty.
    """
    parts = [part for part in (path.encode() if isinstance(path, str) else path).split(b"/") if part]
    if not parts:
        raise UsageError("give a path of a file or folder, from the root of the repository")
    return b"/".join(parts)


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
