"""Walking the tree of a commit: from tree objects to paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.model.tree import entries_before_damage, kind_of

MOST_PATHS = 5_000_000
"""A dozen small trees that contain each other name more paths than fit on any disk; real ones stay below this."""

LONGEST_PATH_BYTES = 16 << 10

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


def walk(root: bytes, trees: Mapping[bytes, bytes], *, most_paths: int = MOST_PATHS) -> Iterator[Entry]:
    """Every path below a root tree that is no directory, in no particular order.

    Entries come as written, names twice or with odd modes included. A malformed tree gives the entries before the
    damage; the walk ends without a word after ``most_paths``, and does not follow paths longer than
    ``LONGEST_PATH_BYTES``.

    Args:
        root: id of the root tree.
        trees: bodies of trees by id.
        most_paths: where the walk ends, directories counted too.
    """
    left = most_paths
    stack = [(b"", root)]
    while stack:
        folder, oid = stack.pop()
        body = trees.get(oid)
        if body is None:
            yield Entry(folder.rstrip(b"/"), 0, MISSING, oid)
            continue
        for mode, name, child in entries_before_damage(body):
            if not left:
                return
            left -= 1
            path = folder + name
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
