"""How the trees at HEAD of a network are kept as lines: each in full, or as its differences from another line.

A line stands for one root tree and may follow its origin from tree to tree; then only the paths that differ are
written. A full line on which others are based no longer moves. The rules are pure: the same lines, trees and origins
give the same changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest

from pipeline.model.tables import GONE, TREE
from pipeline.rules.tree_diff import Changed, Measures, Steps, TooMany, compare
from pipeline.rules.walk import MISSING, MOST_PATH_BYTES, MOST_PATHS, Budget, Entry, walk

WHOLE, PARTIAL = 0, 1
"""The mode of a ``TREE`` row: whether the line has every path of its tree, and so may be compared with others."""

WORTH = 2
"""A line is kept as differences while these are at most its base's rows divided by this."""

FEW = 16
"""A full line follows its origin if at most as many rows change as it has, and this many."""

MOST_BASES = 4
"""Full lines with which a new tree is compared."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is stored; ``rows`` without its ``TREE`` row. ``base`` is None for a full line."""

    id: int
    base: int | None
    tree: bytes
    rows: int
    whole: bool


@dataclass(frozen=True, slots=True)
class NewTree:
    """A root tree that is new at HEAD; ``before`` was at HEAD of one of its origins until now."""

    tree: bytes
    before: bytes | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """A row to add to a line."""

    line: int
    base: int | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class Take:
    """A path of which a line loses all rows; the empty path is that of its ``TREE`` row."""

    line: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """A line that loses all rows."""

    line: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A tree that is nowhere, below ``path`` of a root tree."""

    root: bytes
    path: bytes
    oid: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """A new root tree has its line; ``cut``: without the paths beyond the limits."""

    root: bytes
    cut: bool = False


Change = Put | Take | Drop | Lost | Done

_Rows = dict[bytes, tuple[Entry, ...]]
"""Rows of a line by path."""


@dataclass(slots=True)
class Network:
    """Plans the lines of one network after a load.

    Args:
        lines: those it has.
        kept: trees at HEAD of origins that did not move.
        trees: bodies of trees by id.
        budget: paths and bytes that may be written or compared, for all of its origins together.
    """

    lines: Sequence[Line]
    kept: Collection[bytes]
    trees: Mapping[bytes, bytes]
    budget: Budget
    _now: dict[int, Line] = field(default_factory=dict)
    _full: dict[int, Line] = field(default_factory=dict)
    _bases: set[int] = field(default_factory=set)
    _at: dict[bytes, Line] = field(default_factory=dict)
    _measures: Measures = field(init=False)

    def __post_init__(self) -> None:
        self._measures = Measures(self.trees)
        for line in self.lines:
            self._set(line)

    def _set(self, line: Line) -> None:
        self._now[line.id] = line
        self._at.setdefault(line.tree, line)
        if line.base is None:
            self._full[line.id] = line
        else:
            self._bases.add(line.base)

    def changes(self, new: Sequence[NewTree]) -> Iterator[Change]:
        """What to change so that every tree of ``kept`` and ``new`` has one line, and nothing else has one.

        A tree whose body is missing gets no line.

        Args:
            new: trees of origins that moved, each once, those that others should be based on first.
        """
        wanted = {*self.kept, *(each.tree for each in new)}
        serving: dict[bytes, int] = {}
        for line in sorted(self.lines, key=lambda line: line.id):
            if line.tree in wanted and (line.whole or line.tree in self.kept):
                serving.setdefault(line.tree, line.id)
        free = {line.tree: line for line in self.lines if line.tree not in wanted and line.whole}
        waiting = []
        listed = {each.tree for each in new}
        for each in (
            *new,
            *(NewTree(tree) for tree in sorted(self.kept) if tree not in serving and tree not in listed),
        ):
            if each.tree in serving:
                yield Done(each.tree)
            elif each.tree not in self.trees:
                yield Lost(each.tree, b"", each.tree)
            elif (old := free.get(each.before or b"")) and (moved := self._moved(old, each.tree)) is not None:
                del free[old.tree]
                serving[each.tree] = old.id
                yield from moved
                yield Done(each.tree)
            else:
                waiting.append(each)
        for each in waiting:
            id_ = new_id(each.tree, self._now)
            serving[each.tree] = id_
            yield from self._created(id_, each)
        used = set(serving.values())
        used |= {base for id_ in used if (base := self._now[id_].base) is not None}
        yield from (Drop(line.id) for line in self.lines if line.id not in used)

    def _moved(self, line: Line, tree: bytes) -> list[Change] | None:
        """The changes that let a line follow its origin; None if it must stay, or if a new line is better."""
        if not self._comparable(line.tree) or not self._comparable(tree):
            return None
        if line.base is None:
            if line.id in self._bases:
                return None
            changed = self._compared(line.tree, tree, line.rows + FEW)
            if changed is None:
                return None
            rows = line.rows + sum(len(each.new) - len(each.old) for each in changed)
            after, now = {each.path: each.new for each in changed}, {each.path: each.old for each in changed}
        else:
            drawn = self._redrawn(line, line.base, tree)
            if drawn is None:
                return None
            now, after = drawn
            rows = sum(map(len, after.values()))
        self._set(replace(line, tree=tree, rows=rows))
        found: list[Change] = [Take(line.id, b""), Put(line.id, line.base, Entry(b"", WHOLE, TREE, tree))]
        for path in sorted(now.keys() | after.keys()):
            if now.get(path) != after.get(path):
                if now.get(path):
                    found.append(Take(line.id, path))
                found += (Put(line.id, line.base, entry) for entry in after.get(path, ()))
        return found

    def _redrawn(self, line: Line, based_on: int, tree: bytes) -> tuple[_Rows, _Rows] | None:
        """A line of differences, and the same after a move; None if a new line is better."""
        base = self._now.get(based_on)
        if base is None or not self._comparable(base.tree):
            return None
        most = base.rows // WORTH
        old, to = self._compared(base.tree, line.tree, most), self._compared(base.tree, tree, most)
        if old is None or to is None:
            return None
        after = _differences(to)
        rows = sum(map(len, after.values()))
        nearer = self._based(NewTree(tree), rows // WORTH) if rows > FEW else None
        return None if nearer is not None and nearer[0].id != base.id else (_differences(old), after)

    def _created(self, id_: int, new: NewTree) -> Iterator[Change]:
        based = self._based(new) if self._comparable(new.tree) else None
        if based is not None:
            base, changed = based
            rows = _differences(changed)
            self._set(Line(id_, base.id, new.tree, sum(map(len, rows.values())), whole=True))
            yield Put(id_, base.id, Entry(b"", WHOLE, TREE, new.tree))
            yield from (Put(id_, base.id, entry) for path in sorted(rows) for entry in rows[path])
            yield Done(new.tree)
            return
        share = Budget(min(MOST_PATHS, self.budget.paths), min(MOST_PATH_BYTES, self.budget.size_bytes))
        left = Budget(share.paths, share.size_bytes)
        rows_, lost = 0, False
        for entry in walk(new.tree, self.trees, left):
            if entry.kind == MISSING:
                lost = True
                yield Lost(new.tree, entry.path, entry.oid)
            else:
                rows_ += 1
                yield Put(id_, None, entry)
        self.budget.paths -= share.paths - left.paths
        self.budget.size_bytes -= share.size_bytes - left.size_bytes
        whole = not lost and not left.spent
        self._set(Line(id_, None, new.tree, rows_, whole))
        yield Put(id_, None, Entry(b"", WHOLE if whole else PARTIAL, TREE, new.tree))
        yield Done(new.tree, cut=left.spent)

    def _based(self, new: NewTree, rows: int | None = None) -> tuple[Line, list[Changed]] | None:
        """The full line from which a tree differs least, and the differences; None if it is better kept in full.

        Args:
            rows: most differences; None for what is worth it.
        """
        near = self._at.get(new.before or b"")
        first = None if near is None else near.id if near.base is None else near.base
        full = nsmallest(MOST_BASES, self._full.values(), key=lambda line: (line.id != first, -line.rows, line.id))
        best: tuple[Line, list[Changed]] | None = None
        for line in full:
            if not line.whole or not self._comparable(line.tree):
                continue
            most = min(line.rows // WORTH, len(best[1]) if best else line.rows if rows is None else rows)
            changed = self._compared(line.tree, new.tree, most)
            if changed is not None and (best is None or len(changed) < len(best[1])):
                best = line, changed
        return best

    def _comparable(self, tree: bytes) -> bool:
        if tree not in self.trees:
            return False
        measure = self._measures.of(tree)
        return measure.comparable and measure.paths <= MOST_PATHS and measure.size_bytes <= MOST_PATH_BYTES

    def _compared(self, old: bytes, new: bytes, most: int) -> list[Changed] | None:
        """The differences of two comparable trees; None if they are more than some rows, or than the budget."""
        allowed = min(8 * most + 64, self.budget.paths)
        steps = Steps(allowed)
        try:
            found = list(compare(old, new, self.trees, steps))
        except TooMany:
            return None
        finally:
            self.budget.paths -= allowed - max(steps.left, 0)
        rows = sum(max(len(each.new), 1) for each in found)
        self.budget.size_bytes -= sum(len(each.path) for each in found)
        return found if rows <= most and self.budget.size_bytes >= 0 else None


def _differences(changed: Sequence[Changed]) -> _Rows:
    """Rows of a based line by path: its entries there, or one that says that it lacks the path."""
    return {each.path: each.new or (Entry(each.path, 0, GONE, b""),) for each in changed}


def new_id(tree: bytes, taken: Collection[int]) -> int:
    """An id for the line of a new tree: 63 bits of the tree's id, or the next that is free."""
    id_ = int.from_bytes(tree[:8], "big") >> 1
    while id_ in taken:
        id_ = (id_ + 1) % (1 << 63)
    return id_
