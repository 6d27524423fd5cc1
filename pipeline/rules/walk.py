"""Walking the tree of a commit: from tree objects to paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.model.tree import entries_before_damage, kind_of

MOST_PATHS = 5_000_000
"""Limit of paths: a dozen nested small trees can name more than fit on any disk; real ones stay below this."""

MOST_PATH_BYTES = 256 << 20
"""Limit of all paths of one tree together. A browser's half a million paths have 30 MB; a dozen nested trees exceed any
memory."""

LONGEST_PATH_BYTES = 16 << 10

UNCOUNTABLE = 1 << 62
"""Where counting ends."""

MISSING = "missing"
KINDS = {"blob": "file", "symlink": "symlink", "gitlink": "submodule"}
"""Git's kinds of entries to those of ``files``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A path and its entry; ``kind`` is that of ``files``, or ``MISSING`` for an unavailable tree."""

    path: bytes
    mode: int
    kind: str
    oid: bytes

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]


@dataclass(slots=True)
class Budget:
    """Remaining paths, including directories, and their bytes. ``spent`` once they did not suffice."""

    paths: int = MOST_PATHS
    size_bytes: int = MOST_PATH_BYTES
    spent: bool = False

    def take(self, path: bytes) -> bool:
        """Subtract a path; False if too little is left."""
        if self.paths < 1 or self.size_bytes < len(path):
            self.spent = True
            return False
        self.paths -= 1
        self.size_bytes -= len(path)
        return True


def walk(root: bytes, trees: Mapping[bytes, bytes], budget: Budget) -> Iterator[Entry]:
    """Every path below a root tree that is not a directory, in no particular order.

    Entries are yielded as written, including duplicate names and odd modes. A malformed tree yields the entries before
    the damage. The walk ends when the budget is spent, and skips paths longer than ``LONGEST_PATH_BYTES``.

    Args:
        root: id of the root tree.
        trees: bodies of trees by id.
        budget: for this walk, which reduces it.
    """
    stack = [(b"", root)]
    while stack:
        folder, oid = stack.pop()
        body = trees.get(oid)
        if body is None:
            yield Entry(folder.rstrip(b"/"), 0, MISSING, oid)
            continue
        for mode, name, child in entries_before_damage(body):
            path = folder + name
            if not budget.take(path):
                return
            kind = kind_of(mode)
            if len(path) > LONGEST_PATH_BYTES:
                continue
            if kind == "tree":
                stack.append((path + b"/", child))
            else:
                yield Entry(path, mode, KINDS[kind], child)


def subtrees(body: bytes) -> set[bytes]:
    """Ids of a tree's direct subtrees."""
    return {child for mode, _, child in entries_before_damage(body) if kind_of(mode) == "tree"}


def count_paths(root: bytes, trees: Mapping[bytes, bytes]) -> tuple[int, int]:
    """The number of paths in a walk of a tree, including directories, and their total bytes.

    Exact up to ``UNCOUNTABLE``, without a walk: every tree is read once, however often it occurs, so the cost depends
    on the trees, not on their paths. Unavailable trees count as empty. A tree that contains itself, which would need a
    SHA-1 collision, is uncountable.

    Args:
        root: id of the root tree.
        trees: bodies of trees by id.
    """
    counted: dict[bytes, tuple[int, int]] = {}
    entered: set[bytes] = set()
    stack = [root]
    while stack:
        oid = stack[-1]
        body = trees.get(oid)
        if oid in counted or body is None:
            stack.pop()
            continue
        if oid not in entered:
            entered.add(oid)
            below = [child for child in subtrees(body) if child in trees and child not in counted]
            if not entered.isdisjoint(below):
                return UNCOUNTABLE, UNCOUNTABLE
            stack += below
            if below:
                continue
        stack.pop()
        counted[oid] = _counted(body, counted)
    return counted.get(root, (0, 0))


def _counted(body: bytes, counted: Mapping[bytes, tuple[int, int]]) -> tuple[int, int]:
    paths = size_bytes = 0
    for mode, name, child in entries_before_damage(body):
        below, below_bytes = counted.get(child, (0, 0)) if kind_of(mode) == "tree" else (0, 0)
        paths += 1 + below
        size_bytes += len(name) + below_bytes + below * (len(name) + 1)
    return min(paths, UNCOUNTABLE), min(size_bytes, UNCOUNTABLE)
