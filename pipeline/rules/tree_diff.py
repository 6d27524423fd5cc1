"""Comparing the trees of two commits without a look at what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.model.tree import entries_before_damage, kind_of
from pipeline.rules.walk import KINDS, LONGEST_PATH_BYTES, MOST_PATH_BYTES, UNCOUNTABLE, Entry


@dataclass(frozen=True, slots=True)
class Measure:
    """What a walk of a tree would meet.

    Attributes:
        paths, size_bytes: as ``count_paths``.
        comparable: every tree below is there, and no name has a slash, so that a path has one place.
    """

    paths: int
    size_bytes: int
    comparable: bool


_ABSENT = Measure(0, 0, comparable=False)
_ENDLESS = Measure(UNCOUNTABLE, UNCOUNTABLE, comparable=False)


@dataclass(slots=True)
class Measures:
    """Measures of many trees that share most of what is below them; each tree is read once.

    Args:
        trees: bodies of trees by id.
    """

    trees: Mapping[bytes, bytes]
    known: dict[bytes, Measure] = field(default_factory=dict)

    def of(self, root: bytes) -> Measure:
        """The measure of a tree. One that contains itself, which would need a SHA-1 collision, is endless."""
        entered: set[bytes] = set()
        stack = [root]
        while stack:
            oid = stack[-1]
            if oid in self.known:
                stack.pop()
                continue
            body = self.trees.get(oid)
            if body is None:
                self.known[oid] = _ABSENT
                continue
            below = [child for child in _subtrees(body) if child not in self.known]
            if oid not in entered and below:
                entered.add(oid)
                if not entered.isdisjoint(below):
                    return _ENDLESS
                stack += below
                continue
            self.known[oid] = self._measured(body)
        return self.known[root]

    def _measured(self, body: bytes) -> Measure:
        paths = size_bytes = 0
        comparable = True
        for mode, name, child in entries_before_damage(body):
            below = self.known.get(child, _ENDLESS) if kind_of(mode) == "tree" else Measure(0, 0, comparable=True)
            paths += 1 + below.paths
            size_bytes += len(name) + below.size_bytes + below.paths * (len(name) + 1)
            comparable &= below.comparable and b"/" not in name
        return Measure(min(paths, UNCOUNTABLE), min(size_bytes, UNCOUNTABLE), comparable)


def _subtrees(body: bytes) -> list[bytes]:
    return [child for mode, _, child in entries_before_damage(body) if kind_of(mode) == "tree"]


@dataclass(frozen=True, slots=True)
class Changed:
    """A path with other entries than before. Each is empty where the path does not exist; a tree may name one twice."""

    path: bytes
    old: tuple[Entry, ...]
    new: tuple[Entry, ...]


class TooMany(Exception):
    """A comparison took more steps than allowed."""


@dataclass(slots=True)
class Steps:
    """Remaining entries that a comparison may look at, and bytes of their paths."""

    left: int
    size_bytes: int = MOST_PATH_BYTES

    def take(self, count: int, size_bytes: int = 0) -> None:
        """Subtract some.

        Raises:
            TooMany: fewer are left.
        """
        self.left -= count
        self.size_bytes -= size_bytes
        if self.left < 0 or self.size_bytes < 0:
            raise TooMany


def compare(old: bytes, new: bytes, trees: Mapping[bytes, bytes], steps: Steps) -> Iterator[Changed]:
    """The paths of files, symbolic links and submodules that differ between two comparable trees, in no order.

    A subtree that both have at the same place is not read, so the cost follows what changed.

    Args:
        old, new: ids of root trees, both of them measured as comparable.
        trees: bodies of trees by id.
        steps: entries that differ and may be looked at.

    Raises:
        TooMany: there were more.
    """
    stack: list[tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]]] = [(b"", (old,), (new,))]
    while stack:
        folder, olds, news = stack.pop()
        before, after = _named(olds, trees), _named(news, trees)
        for name in before.keys() | after.keys():
            was, now = before.get(name, ()), after.get(name, ())
            if was == now:
                continue
            path = folder + name
            steps.take(1, len(path))
            if len(path) > LONGEST_PATH_BYTES:
                continue
            old_leaves, new_leaves = _leaves(path, was), _leaves(path, now)
            if old_leaves != new_leaves:
                steps.take(len(old_leaves) + len(new_leaves))
                yield Changed(path, old_leaves, new_leaves)
            old_folders, new_folders = _folders(was), _folders(now)
            if old_folders != new_folders:
                stack.append((path + b"/", old_folders, new_folders))


_Named = dict[bytes, tuple[tuple[int, bytes], ...]]


def _named(folders: Sequence[bytes], trees: Mapping[bytes, bytes]) -> _Named:
    """Modes and ids by name, sorted; usually one."""
    found: _Named = {}
    for oid in folders:
        for mode, name, child in entries_before_damage(trees[oid]):
            here = found.get(name)
            found[name] = ((mode, child),) if here is None else tuple(sorted((*here, (mode, child))))
    return found


def _leaves(path: bytes, entries: Sequence[tuple[int, bytes]]) -> tuple[Entry, ...]:
    kinds = ((mode, oid, kind_of(mode)) for mode, oid in entries)
    return tuple(Entry(path, mode, KINDS[kind], oid) for mode, oid, kind in kinds if kind != "tree")


def _folders(entries: Sequence[tuple[int, bytes]]) -> tuple[bytes, ...]:
    return tuple(oid for mode, oid in entries if kind_of(mode) == "tree")
