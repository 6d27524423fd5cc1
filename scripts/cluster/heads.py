"""What the rules of lines make of a network: run on networks that are small enough to build, then per origin.

The trees are real tree objects, and ``pipeline.rules.lines`` decides. Where forks stand is guessed: most were made at
an even pace over the network's history and left there; those that move are some weeks behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from cluster.population import COLUMNS, KNOWN, OWN_SHARE, PUSH_OBJECTS, any_networks
from pipeline.model.tables import TREE
from pipeline.night.walk import NETWORK_PATH_BYTES, NETWORK_PATHS
from pipeline.rules.lines import Change, Drop, Line, Network, NewTree, Put, Take
from pipeline.rules.walk import Budget

FOLDER = 12
"""Entries of a folder."""

PUSH_PATHS = 4
"""Paths that a push changes: 2.2 commits of 1.7 blobs."""

WEEKS_PUSHES = 30
"""Mean number of pushes by which a fork that moves is behind. Guess; every second one then catches up, others push."""

MOST_FILES, MOST_ORIGINS, SAMPLED = 400, 100, 100
"""Bounds of the networks that are built, and how many are."""

_COLUMN = {name: number for number, name in enumerate(COLUMNS)}
_Ids = list[bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """What ``files`` has of some networks, and what a night does to it, by their own measures.

    Attributes:
        of_a_line: rows of a line besides the first, per file at HEAD.
        added, removed: rows per moved origin.
        blobs_added, blobs_removed: distinct blobs at HEAD of a network, per moved origin.
        changed: paths per moved origin, as a table with a row per path and origin would see them.
        compared: entries that are compared or walked, per moved origin and file at HEAD.
    """

    of_a_line: float
    added: float
    removed: float
    blobs_added: float
    blobs_removed: float
    changed: float
    compared: float


@dataclass(slots=True)
class Trees:
    """Versions of a tree with so many files, which share whatever they have in common."""

    files: int
    bodies: dict[bytes, bytes] = field(default_factory=dict)

    def first(self) -> list[_Ids]:
        """The first version: ids by level, those of files first, the root's last."""
        levels = [[_id(b"%d.0" % at) for at in range(self.files)]]
        while len(levels) == 1 or len(levels[-1]) > 1:
            below = levels[-1]
            levels.append([self._folder(below, at, len(levels)) for at in range(-(-len(below) // FOLDER))])
        return levels

    def changed(self, version: list[_Ids], files: Sequence[int], label: bytes) -> list[_Ids]:
        """A version in which some files differ."""
        levels = [list(version[0])]
        for at in files:
            levels[0][at] = _id(b"%d.%s" % (at, label))
        touched = set(files)
        for number in range(1, len(version)):
            touched = {at // FOLDER for at in touched}
            levels.append(list(version[number]))
            for at in touched:
                levels[number][at] = self._folder(levels[number - 1], at, number)
        return levels

    def _folder(self, below: _Ids, at: int, level: int) -> bytes:
        mode = b"100644 f" if level == 1 else b"40000 d"
        first = at * FOLDER
        entries = (b"%s%02d\0%s" % (mode, n, oid) for n, oid in enumerate(below[first : first + FOLDER]))
        body = b"".join(entries)
        oid = _id(body)
        self.bodies[oid] = body
        return oid


def _id(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).digest()


def sampled(random: Generator) -> Kept:
    """Of networks as they come, among those in which an origin moves tonight."""
    found = any_networks(random, 100 * SAMPLED)
    column = {name: found[:, at] for name, at in _COLUMN.items()}
    here = (column["changed"] > 0) & (column["files"] <= MOST_FILES) & (column["origins"] <= MOST_ORIGINS)
    counts = [
        night_of(int(files), int(origins), int(changed), objects / PUSH_OBJECTS, random)
        for files, origins, changed, objects in found[here][:SAMPLED][
            :, [_COLUMN[name] for name in ("files", "origins", "changed", "objects")]
        ]
    ]
    return _sum(counts)


def of_many_forks(random: Generator) -> Kept:
    """Of networks with very many forks, from a small one with as many pushes per file as those that everybody knows."""
    objects, files = (sum(getattr(each, name) * each.origins for each in KNOWN) for name in ("objects", "files"))
    pushes = MOST_FILES * objects / files / PUSH_OBJECTS
    return _sum([night_of(MOST_FILES, MOST_ORIGINS, MOST_ORIGINS // 4, pushes, random)])


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one network: files, distinct trees besides the first, moved origins, and rows."""

    files: int
    others: int
    moved: int
    of_others: int
    added: int
    removed: int
    blobs_added: int
    blobs_removed: int
    changed: int
    compared: int


def _sum(counts: Sequence[Counts]) -> Kept:
    moved = sum(each.moved for each in counts)
    return Kept(
        of_a_line=sum(each.of_others for each in counts) / max(sum(each.others * each.files for each in counts), 1),
        added=sum(each.added for each in counts) / moved,
        removed=sum(each.removed for each in counts) / moved,
        blobs_added=sum(each.blobs_added for each in counts) / moved,
        blobs_removed=sum(each.blobs_removed for each in counts) / moved,
        changed=sum(each.changed for each in counts) / moved,
        compared=sum(each.compared for each in counts) / sum(each.moved * each.files for each in counts),
    )


def night_of(files: int, origins: int, moved: int, pushes: float, random: Generator) -> Counts:
    """Build a network, keep its trees as lines, let some of its origins move, and do what the rules say."""
    files, moved = max(files, 1), min(moved, origins)
    trees = Trees(files)
    behind = np.concatenate([random.exponential(WEEKS_PUSHES, moved), random.uniform(0, pushes, origins - moved)])
    behind = np.minimum(behind, pushes).round()
    behind[0] = 0.0
    versions: list[list[_Ids]] = [[]] * origins
    now, at = trees.first(), pushes
    for origin in np.argsort(-behind).tolist():
        if at > behind[origin]:
            now = trees.changed(now, _paths(files, at - behind[origin], random), b"p%d" % origin)
        at = behind[origin]
        own = origin > 0 and random.random() < OWN_SHARE
        versions[origin] = trees.changed(now, _paths(files, 1, random), b"o%d" % origin) if own else now
    newest = trees.changed(versions[0], _paths(files, 1, random), b"new")
    after = [
        newest if origin == 0 or random.random() < 0.5
        else trees.changed(versions[origin], _paths(files, 1, random), b"n%d" % origin)
        for origin in range(moved)
    ]  # fmt: skip
    before = [version[-1][0] for version in versions]
    lines = list(_lines(_planned(trees, [], [], [NewTree(tree) for tree in dict.fromkeys(before)])[0]))
    new = dict[bytes, NewTree]()
    for origin, version in enumerate(after):
        new.setdefault(version[-1][0], NewTree(version[-1][0], before[origin]))
    changes, compared = _planned(trees, lines, sorted(set(before[moved:])), list(new.values()))
    rows = {line.id: line.rows for line in lines}
    were_at_head = _blobs(versions)
    now_at_head = _blobs([*after, *versions[moved:]])
    return Counts(
        files,
        len(set(before)) - 1,
        moved,
        of_others=sum(rows.values()) - files,
        added=sum(isinstance(each, Put) for each in changes),
        removed=sum(1 if isinstance(each, Take) else rows[each.line] + 1 if isinstance(each, Drop) else 0
                    for each in changes),
        blobs_added=len(now_at_head - were_at_head),
        blobs_removed=len(were_at_head - now_at_head),
        changed=sum(_differing(versions[origin][0], version[0]) for origin, version in enumerate(after)),
        compared=compared,
    )  # fmt: skip


def _paths(files: int, pushes: float, random: Generator) -> list[int]:
    """Files that pushes change, each once; some are changed far more often than others."""
    chosen = random.random(int(np.ceil(pushes * PUSH_PATHS))) ** 3 * files
    return sorted(set(map(int, chosen)))


def _blobs(versions: Sequence[list[_Ids]]) -> set[bytes]:
    return {oid for version in versions for oid in version[0]}


def _differing(before: _Ids, after: _Ids) -> int:
    return sum(a != b for a, b in zip(before, after, strict=True))


def _planned(
    trees: Trees, lines: Sequence[Line], kept: Sequence[bytes], new: Sequence[NewTree]
) -> tuple[list[Change], int]:
    """The changes, and how many entries were walked or compared for them."""
    budget = Budget(NETWORK_PATHS, NETWORK_PATH_BYTES)
    changes = list(Network(lines, kept, trees.bodies, budget).changes(new))
    return changes, NETWORK_PATHS - budget.paths


def _lines(changes: Sequence[Change]) -> Iterator[Line]:
    """The lines of a network that had none."""
    rows: dict[int, int] = {}
    roots: dict[int, Put] = {}
    for each in changes:
        if isinstance(each, Put) and each.entry.kind == TREE:
            roots[each.line] = each
        elif isinstance(each, Put):
            rows[each.line] = rows.get(each.line, 0) + 1
    for id_, put in roots.items():
        yield Line(id_, put.base, put.entry.oid, rows.get(id_, 0), whole=True)
