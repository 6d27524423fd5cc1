"""What a commit changed, against C git."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.rules.commit_diff import EMPTY_TREE, UNKNOWN, FileChange, file_changes, shown_mode
from pipeline.rules.tree_diff import Steps
from tests.rules.test_walk import A, B, entry
from tests.support.repos import git, init, put, put_tree

PLENTY = 1_000_000


def trees_of(repo: Path) -> dict[bytes, bytes]:
    """All trees of a repository by id, and the empty one."""
    listed = git(repo, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    ids = [line.split()[0] for line in listed if line.split()[1] == "tree"]
    return {EMPTY_TREE: b""} | {bytes.fromhex(oid): git(repo, "cat-file", "tree", oid) for oid in ids}


def by_git(repo: Path, old: str, new: str) -> list[FileChange]:
    """What ``git diff-tree`` says of two trees, sorted by path."""
    words = iter(git(repo, "diff-tree", "-r", "-z", "-M100%", "-l0", old, new).split(b"\0"))
    found = []
    for word in words:
        if word:
            old_mode, new_mode, old_oid, new_oid, status = word.decode().removeprefix(":").split()
            old_path = next(words) if status.startswith("R") else None
            path = next(words)
            found.append(FileChange(status[0], path, old_path, *side(old_mode, old_oid), *side(new_mode, new_oid)))
    return sorted(found, key=lambda change: change.path)


def side(mode: str, oid: str) -> tuple[int, bytes] | tuple[None, None]:
    return (int(mode, 8), bytes.fromhex(oid)) if int(mode, 8) else (None, None)


def check(repo: Path, pairs: Iterable[tuple[str, str]]) -> list[list[FileChange]]:
    """Compare both ways with git; return what was found."""
    trees = trees_of(repo)
    found = []
    for old, new in pairs:
        changes = file_changes(bytes.fromhex(old), bytes.fromhex(new), trees, Steps(PLENTY))
        assert changes == by_git(repo, old, new), (old, new)
        found.append(changes)
    return found


def test_every_status_and_odd_names(tmp_path: Path) -> None:
    repo = init(tmp_path / "r")
    one, two, empty = put(repo, "blob", b"1\n"), put(repo, "blob", b"2\n"), put(repo, "blob", b"")
    gone = "1" * 40
    inner = put_tree(repo, ("100644", "same", one))
    deep = put_tree(repo, ("40000", "in", inner), ("100644", b"\xff\n\t", two))
    before = put_tree(
        repo,
        ("100644", "a", one),
        ("100644", "b.x", two),
        ("40000", "d", deep),
        ("100644", b"e\xe9 \"'", empty),
        ("120000", "link", one),
        ("160000", "module", gone),
        ("100664", "old mode", two),
        ("40000", "to-file", inner),
        ("100644", "to-link", one),
    )
    after = put_tree(
        repo,
        ("100755", "a", one),
        ("40000", "b.x", inner),
        ("40000", "c", deep),
        ("100644", "e2", empty),
        ("160000", "link", gone),
        ("160000", "module", "2" * 40),
        ("160000", "module2", gone),
        ("100644", "old mode", two),
        ("100644", "to-file", two),
        ("120000", "to-link", one),
    )
    root = EMPTY_TREE.hex()
    there, back, *_ = check(repo, [(before, after), (after, before), (root, before), (after, root), (after, after)])
    assert {change.status for change in [*there, *back]} == {"A", "M", "D", "R", "T"}


def test_trees_at_random(tmp_path: Path) -> None:
    """Many files of few contents, so that most renames have several sources."""
    repo, chance = init(tmp_path / "r"), random.Random(5)
    blobs = [put(repo, "blob", body) for body in (b"", b"1", b"2")]
    names = ["a", "a.b", "a-", "b", "c"]

    def tree(depth: int) -> str:
        entries = []
        for name in chance.sample(names, chance.randint(1, len(names))):
            kind = chance.choice(("100644", "100644", "100755", "120000", "160000", "40000", "40000"))
            if kind == "40000":
                kind, oid = ("40000", tree(depth - 1)) if depth else ("100644", blobs[0])
            else:
                oid = chance.choice(blobs)
            entries.append((kind, name, oid))
        return put_tree(repo, *sorted(entries, key=lambda entry: entry[1] + "/" * (entry[0] == "40000")))

    trees = [tree(2) for _ in range(16)]
    found = check(repo, [(chance.choice(trees), chance.choice(trees)) for _ in range(60)])
    assert sum(change.status == "R" for changes in found for change in changes) > 100


def test_many_deleted_files_of_one_content(tmp_path: Path) -> None:
    """Git looks at a hundred of them for one of the same name."""
    repo = init(tmp_path / "r")
    blob = put(repo, "blob", b"x")
    inside = put_tree(repo, ("100644", "at end", blob), ("100644", "name", blob))
    many = [("100644", f"f{number:03}", blob) for number in range(99)]
    before = put_tree(repo, *many, ("40000", "g", inside))
    after = put_tree(repo, ("100644", "at end", blob), ("40000", "h", put_tree(repo, ("100644", "name", blob))))
    (renames,) = check(repo, [(before, after)])
    assert [(change.old_path, change.path) for change in renames if change.status == "R"] == [
        (b"g/at end", b"at end"),
        (b"g/name", b"h/name"),
    ]
    far = put_tree(repo, *many, ("100644", "f999", blob), ("40000", "g", inside))
    (renames,) = check(repo, [(far, after)])
    assert (b"f001", b"h/name") in {(change.old_path, change.path) for change in renames}


def test_what_cannot_be_compared_is_said() -> None:
    unknown = [FileChange(UNKNOWN, b"", None, None, None, None, None)]
    trees = {EMPTY_TREE: b"", A: entry(b"40000", b"lost", B) + entry(b"100644", b"f", B)}
    assert file_changes(EMPTY_TREE, A, trees, Steps(PLENTY)) == unknown
    assert file_changes(EMPTY_TREE, B, trees, Steps(PLENTY)) == unknown
    wide = {EMPTY_TREE: b"", A: b"".join(entry(b"100644", b"%d" % number, B) for number in range(10))}
    assert len(file_changes(EMPTY_TREE, A, wide, Steps(20))) == 10
    assert file_changes(EMPTY_TREE, A, wide, Steps(19)) == unknown


def test_a_file_named_twice_comes_once() -> None:
    twice = entry(b"100644", b"f", A) + entry(b"100644", b"f", B)
    (change,) = file_changes(EMPTY_TREE, A, {EMPTY_TREE: b"", A: twice}, Steps(PLENTY))
    assert (change.status, change.path, change.new_oid) == ("A", b"f", A)


@pytest.mark.parametrize(("written", "shown"), [(0o100600, 0o100644), (0o100711, 0o100755), (0o100010, 0o100644)])
def test_modes_of_old_versions(written: int, shown: int) -> None:
    assert shown_mode(written) == shown
