"""Walking the tree of a commit: from tree objects to paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.model.tree import entries_before_damage, kind_of

MOST_PATHS = 5_000_000
"""A dozen small trees that contain each other name more paths than fit on any disk; real ones stay below this."""

MOST_PATH_BYTES = 256 << 20
"""Of all paths of one tree together. Half a million paths of a browser have 30 MB, a dozen nested trees more than fit
into any memory."""

LONGEST_PATH_BYTES = 16 << 10

UNCOUNTABLE = 1 << 62
"""Where counting ends."""

MISSING = "missing"
KINDS = {"blob": "file", "symlink": "symlink", "gitlink": "submodule"}
"""From git's kinds of entries to those of ``files``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A path and what is there; ``kind`` is that of ``files``, or ``MISSING`` for a tree that was not at hand."""

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
    """What may still be met: paths, directories counted too, and bytes of them. ``spent`` once it did not suffice."""

    paths: int = MOST_PATHS
    size_bytes: int = MOST_PATH_BYTES
    spent: bool = False

    def take(self, path: bytes) -> bool:
        """Take a path from what is left; False if too little is."""
        if self.paths < 1 or self.size_bytes < len(path):
            self.spent = True
            return False
        self.paths -= 1
        self.size_bytes -= len(path)
        return True


def walk(root: bytes, trees: Mapping[bytes, bytes], budget: Budget) -> Iterator[Entry]:
    """Every path below a root tree that is no directory, in no particular order.

    Entries come as written, names twice or with odd modes included. A malformed tree gives the entries before the
    damage. The walk ends when the budget is spent, and does not follow paths longer than ``LONGEST_PATH_BYTES``.

    Args:
        root: id of the root tree.
        trees: bodies of trees by id.
        budget: for this walk; what was met is taken from it.
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
    """Ids of the trees that a tree contains directly."""
    return {child for mode, _, child in entries_before_damage(body) if kind_of(mode) == "tree"}


def count_paths(root: bytes, trees: Mapping[bytes, bytes]) -> tuple[int, int]:
    """How many paths a walk of a tree would meet, directories included, and the bytes of all of them together.

    Exact up to ``UNCOUNTABLE``, without a walk: every tree is looked into once, however often it is contained, so that
    the cost is that of the trees and not of their paths. Trees that are not at hand count as empty. A tree that
    contains itself, for which there would have to be a SHA-1 of its own, is uncountable.

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
