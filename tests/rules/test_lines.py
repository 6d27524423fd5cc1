"""Lines of trees at HEAD: what origins see is what a walk of their trees gives, and what is written is what changed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from pipeline.model.tables import GONE, TREE
from pipeline.rules.lines import Change, Done, Drop, Line, Lost, Network, NewTree, Put, Take
from pipeline.rules.walk import Budget, Entry, walk

Folder = Mapping[bytes, "bytes | Folder"]


def put(trees: dict[bytes, bytes], folder: Folder) -> bytes:
    """Add the trees of a folder, whose files are ids of blobs; return the root's id."""
    body = b""
    for name, value in sorted(folder.items()):
        mode, oid = (b"100644", value) if isinstance(value, bytes) else (b"40000", put(trees, value))
        body += mode + b" " + name + b"\0" + oid
    oid = hashlib.sha1(body, usedforsecurity=False).digest()
    trees[oid] = body
    return oid


def blob(number: int) -> bytes:
    return number.to_bytes(20, "big")


@dataclass
class Stored:
    """The lines of a network as a table has them."""

    trees: dict[bytes, bytes] = field(default_factory=dict)
    lines: dict[int, Line] = field(default_factory=dict)
    rows: dict[int, list[Entry]] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)

    def night(self, moved: Mapping[str, bytes], budget: Budget | None = None) -> list[Change]:
        """Move origins to other trees; return what this changed."""
        new: dict[bytes, NewTree] = {}
        for origin, tree in moved.items():
            new.setdefault(tree, NewTree(tree, self.heads.get(origin)))
        kept = {tree for origin, tree in self.heads.items() if origin not in moved}
        changes = self.planned(kept, list(new.values()), budget)
        self._apply(changes)
        again = self.planned(kept, list(new.values()), Budget())
        if all(line.whole for line in self.lines.values()):
            assert [change for change in again if not isinstance(change, Done)] == []
        self.heads |= moved
        return changes

    def planned(self, kept: set[bytes], new: list[NewTree], budget: Budget | None = None) -> list[Change]:
        return list(Network(list(self.lines.values()), kept, self.trees, budget or Budget()).changes(new))

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Drop):
                del self.lines[change.line]
                self.rows.pop(change.line, None)
            elif isinstance(change, Take) and change.path:
                left = [entry for entry in self.rows[change.line] if entry.path != change.path]
                assert len(left) < len(self.rows[change.line])
                self.rows[change.line] = left
        for change in changes:
            if isinstance(change, Put) and change.entry.kind == TREE:
                whole = change.entry.mode == 0
                self.lines[change.line] = Line(change.line, change.base, change.entry.oid, 0, whole)
            elif isinstance(change, Put):
                self.rows.setdefault(change.line, []).append(change.entry)
        self.lines = {id_: replace(line, rows=len(self.rows.get(id_, ()))) for id_, line in self.lines.items()}

    def files(self, tree: bytes) -> list[tuple[bytes, int, bytes]]:
        (line,) = [line for line in self.lines.values() if line.tree == tree]
        found = _by_path(self.rows.get(line.id, []))
        if line.base is not None:
            assert self.lines[line.base].base is None
            found = _by_path(self.rows[line.base]) | found
        return sorted((e.path, e.mode, e.oid) for entries in found.values() for e in entries if e.kind != GONE)


def _by_path(entries: list[Entry]) -> dict[bytes, list[Entry]]:
    found: dict[bytes, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.path, []).append(entry)
    return found


def puts(changes: list[Change]) -> int:
    return sum(isinstance(change, Put) for change in changes)


def random_folder(chance: random.Random, depth: int = 3) -> dict[bytes, bytes | Folder]:
    return {
        b"%d" % n: random_folder(chance, depth - 1) if depth and chance.random() < 0.3 else chance.randbytes(20)
        for n in range(chance.randint(1, 6))
    }


def edited(chance: random.Random, folder: Folder) -> Folder:
    """A folder with up to two edits: a file or folder that is new, other, or gone."""
    after = dict(folder)
    for _ in range(chance.randint(0, 2)):
        name = chance.choice(list(after) or [b"x"])
        inside = after.get(name)
        if isinstance(inside, dict) and chance.random() < 0.7:
            after[name] = edited(chance, inside)
        elif name in after and chance.random() < 0.4:
            del after[name]
        else:
            after[b"%d" % chance.randint(0, 9)] = chance.choice([chance.randbytes(20), random_folder(chance, 1)])
    return after


@pytest.mark.parametrize("seed", range(60))
def test_origins_see_exactly_their_trees_night_after_night(seed: int) -> None:
    """And a rerun of each night, with the heads as they were before it, changes nothing."""
    chance, stored = random.Random(seed), Stored()
    first = random_folder(chance)
    folders: dict[str, Folder] = {f"origin{n}": first for n in range(chance.randint(1, 8))}
    for night in range(8):
        moved = {}
        for origin in sorted(folders):
            if night == 0 or chance.random() < 0.5:
                source = chance.choice(list(folders)) if chance.random() < 0.2 else origin
                folders[origin] = edited(chance, folders[source]) if night else first
                moved[origin] = put(stored.trees, folders[origin])
        stored.night(moved)
        for tree in set(stored.heads.values()):
            assert stored.files(tree) == sorted((e.path, e.mode, e.oid) for e in walk(tree, stored.trees, Budget()))
        used = {line.base for line in stored.lines.values()}
        assert {line.tree for line in stored.lines.values() if line.id not in used} <= set(stored.heads.values())


def big(number: int = 400) -> dict[bytes, bytes | Folder]:
    return {b"d%d" % folder: {b"f%d" % n: blob(1000 * folder + n) for n in range(20)} for folder in range(number // 20)}


def test_an_origin_of_its_own_writes_only_what_it_changed() -> None:
    stored, folder = Stored(), big()
    assert puts(stored.night({"a": put(stored.trees, folder)})) == 401
    for night in range(50):
        folder[b"d%d" % (night % 20)] = {**folder[b"d%d" % (night % 20)], b"f1": blob(10**6 + night)}  # type: ignore[dict-item]
        changes = stored.night({"a": put(stored.trees, folder)})
        assert (puts(changes), sum(isinstance(c, Take) for c in changes)) == (2, 2)
    assert len(stored.lines) == 1


def test_forks_with_a_head_of_their_own_are_differences_from_one_line() -> None:
    stored, folder = Stored(), big()
    trees = [put(stored.trees, {**folder, b"own": blob(10**6 + n)}) for n in range(50)]
    changes = stored.night({"root": put(stored.trees, folder)} | {f"fork{n}": tree for n, tree in enumerate(trees)})
    assert puts(changes) == 401 + 50 * 2
    assert sum(line.base is None for line in stored.lines.values()) == 1
    moved = stored.night({"root": put(stored.trees, {**folder, b"new": blob(7)})})
    assert puts(moved) == 2  # the full line stays for the forks; the root becomes one of its differences
    assert puts(stored.night({"fork0": put(stored.trees, {**folder, b"own": blob(8)})})) == 2


def test_origins_with_equal_trees_share_a_line() -> None:
    stored, folder = Stored(), big()
    tree = put(stored.trees, folder)
    assert puts(stored.night({f"fork{n}": tree for n in range(30)})) == 401
    assert puts(stored.night({"late": tree})) == 0


def test_a_tree_that_shares_too_little_is_kept_in_full() -> None:
    stored = Stored()
    stored.night({"root": put(stored.trees, big())})
    other = put(stored.trees, {name: {b"g": blob(9)} for name in big()})
    stored.night({"fork": other})
    assert [line.base for line in stored.lines.values()] == [None, None]


def test_a_line_without_all_of_its_tree_is_no_base_and_is_replaced() -> None:
    stored, folder = Stored(), big()
    tree = put(stored.trees, folder)
    lost = put({}, folder[b"d0"])  # type: ignore[arg-type]
    body = stored.trees.pop(lost)
    changes = stored.night({"root": tree})
    assert [change.oid for change in changes if isinstance(change, Lost)] == [lost]
    assert [line.whole for line in stored.lines.values()] == [False]
    stored.trees[lost] = body
    assert puts(stored.night({"fork": put(stored.trees, {**folder, b"own": blob(5)})})) == 402
    stored.night({"root": tree})
    assert [line.whole for line in stored.lines.values()] == [True, True]


def test_paths_beyond_the_budget_are_cut() -> None:
    stored = Stored()
    tree = put(stored.trees, big())
    changes = stored.night({"root": tree}, Budget(paths=100))
    assert [change.cut for change in changes if isinstance(change, Done)] == [True]
    assert 0 < puts(changes) <= 100


def test_differences_that_another_full_line_would_halve_move_there() -> None:
    def mixed(count: int) -> Folder:
        return {b"f%03d" % n: blob(n if n < count else 1000 + n) for n in range(100)}

    stored = Stored()
    stored.night({"root": put(stored.trees, mixed(0)), "other": put(stored.trees, mixed(60))})
    full = {line.tree: line.id for line in stored.lines.values() if line.base is None}
    assert len(full) == 2
    for count, base in ((20, 0), (36, 0), (45, 60)):
        tree = put(stored.trees, mixed(count))
        stored.night({"fork": tree})
        assert [line.base for line in stored.lines.values() if line.tree == tree] == [
            full[put(stored.trees, mixed(base))]
        ]
        assert stored.files(tree) == sorted((e.path, e.mode, e.oid) for e in walk(tree, stored.trees, Budget()))
