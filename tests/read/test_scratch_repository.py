"""Patches, counts and blame are those that git shows in a whole clone, though git gets only what it needs for them."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from pipeline.git.program import GitFailed, GitMissing
from pipeline.model.errors import UsageError
from pipeline.model.text import text_and_raw
from pipeline.read.blame import Line, NoSuchFile, blame
from pipeline.read.patch import patch, stats
from pipeline.read.scratch_repository import NotKept, ScratchRepository
from pipeline.rules.commit_diff import EMPTY_TREE
from tests.read.histories import GitLender, random_history
from tests.support.repos import add_commits, git, init, put, put_commit, put_tree, resolve, set_refs


def sides(lender: GitLender, commit: bytes) -> tuple[bytes, bytes]:
    graph = lender.graph()
    parents = graph.parents[commit]
    return graph.tree[parents[0]] if parents else EMPTY_TREE, graph.tree[commit]


def patch_of(lender: GitLender, commit: bytes) -> bytes:
    with ScratchRepository.open(lender) as repository:
        return patch(repository, *sides(lender, commit))


def numstat(repo: Path, commit: str) -> list[dict[str, object]]:
    """The rows of ``git show --numstat``."""
    rows: list[dict[str, object]] = []
    parts = iter(git(repo, "show", "--format=", "--numstat", "--first-parent", "-z", commit).split(b"\0")[:-1])
    for part in parts:
        added, deleted, path = part.split(b"\t", 2)
        old = b"" if path else next(parts)
        path = path or next(parts)
        (text, raw), (old_text, old_raw) = text_and_raw(path), text_and_raw(old) if old else (None, None)
        counts = [None if digits == b"-" else int(digits) for digits in (added, deleted)]
        keys = ("path", "path_raw", "old_path", "old_path_raw", "added", "deleted")
        rows.append(dict(zip(keys, (text, raw, old_text, old_raw, *counts), strict=True)))
    return rows


def blamed(repo: Path, commit: str, path: bytes) -> list[tuple[str, int, int, bytes]]:
    """Commit, old and new number and content of each line, from another format than the one that we read."""
    said = git(repo, "blame", "--porcelain", commit, "--", path)
    found = re.findall(rb"^([0-9a-f]{40}) (\d+) (\d+).*\n(?:[^\t].*\n)*\t(.*)\n", said, re.MULTILINE)
    return [(oid.decode(), int(old), int(new), content) for oid, old, new, content in found]


def files_of(repo: Path, commit: str) -> list[bytes]:
    return [
        line.split(b"\t", 1)[1]
        for line in git(repo, "ls-tree", "-r", "-z", commit).split(b"\0")[:-1]
        if b" blob " in line
    ]


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_git_in_a_clone(tmp_path: Path, seed: int) -> None:
    repo = random_history(tmp_path / "repo", seed)
    lender = GitLender(repo)
    graph = lender.graph()
    commits = git(repo, "rev-list", "--all").decode().split()
    assert any(len(graph.parents[bytes.fromhex(oid)]) > 1 for oid in commits)
    for oid in commits:
        commit = bytes.fromhex(oid)
        expected = git(repo, "show", "--format=", "-p", "-M", "--full-index", "--first-parent", oid)
        assert patch_of(lender, commit) == expected
        with ScratchRepository.open(lender) as repository:
            assert stats(repository, *sides(lender, commit)).to_pylist() == numstat(repo, oid)
    for oid in commits[::4]:
        for path in files_of(repo, oid):
            with ScratchRepository.open(lender) as repository:
                lines = blame(repository, graph, bytes.fromhex(oid), path)
            found = [(line.commit.hex(), line.old_number, line.number, line.content) for line in lines]
            assert found == blamed(repo, oid, path), (oid, path)


def test_a_rename_is_followed_by_its_names(tmp_path: Path) -> None:
    """Through two renames, one of them in a branch, to a file whose name git quotes."""
    repo = init(tmp_path / "repo")
    lines = [b"%d\n" % number for number in range(20)]
    content = [put(repo, "blob", b"".join(lines[:at])) for at in (10, 12, 14)]
    other = put(repo, "blob", b"other\n")
    names = (b'o"ld\xff', b"new", b"last")
    one = put_commit(repo, put_tree(repo, ("100644", names[0], content[0]), ("100644", "x", other)))
    two = put_commit(repo, put_tree(repo, ("100644", names[1], content[1]), ("100644", "x", other)), one)
    three = put_commit(repo, put_tree(repo, ("100644", names[2], content[2]), ("100644", "x", other)), two, one)
    set_refs(repo, {b"refs/heads/main": three})
    lender = GitLender(repo)
    with ScratchRepository.open(lender) as repository:
        found = blame(repository, lender.graph(), bytes.fromhex(three), b"last")
    assert found[0] == Line(1, bytes.fromhex(one), 1, names[0], b"0")
    assert [line.path for line in found] == [names[0]] * 10 + [names[1]] * 2 + [names[2]] * 2
    assert [line.commit.hex() for line in found[9:]] == [one, two, two, three, three]


def test_a_folder_in_the_place_of_the_file_is_looked_through(tmp_path: Path) -> None:
    """Git lists what is below it, before it asks the other parent, from which the file is."""
    repo = init(tmp_path / "repo")
    content = put(repo, "blob", b"1\n")
    one = put_commit(repo, put_tree(repo, ("100644", "x", content)))
    folder = put_tree(repo, ("40000", "y", put_tree(repo, ("100644", "z", put(repo, "blob", b"2\n")))))
    two = put_commit(repo, put_tree(repo, ("40000", "x", folder)), one)
    merge = put_commit(repo, put_tree(repo, ("100644", "x", content)), two, one)
    set_refs(repo, {b"refs/heads/main": merge})
    lender = GitLender(repo)
    with ScratchRepository.open(lender) as repository:
        (line,) = blame(repository, lender.graph(), bytes.fromhex(merge), b"x")
    assert line == Line(1, bytes.fromhex(one), 1, b"x", b"1")


def test_git_gets_little(tmp_path: Path) -> None:
    """Of forty commits with a file each: two versions of the folders that changed, and what changed in them."""
    repo = init(tmp_path / "repo")
    tip = add_commits(repo, 40)[-1]
    lender = GitLender(repo)
    assert patch_of(lender, bytes.fromhex(tip)).count(b"diff --git") == 2
    assert len(lender.lent) == 2 * 2 + 3
    lender.lent.clear()
    with ScratchRepository.open(lender) as repository:
        blame(repository, lender.graph(), bytes.fromhex(tip), b"more/7.txt")
    blobs = {oid for oid in lender.lent if lender.objects[oid].type.text == "blob"}
    assert len(blobs) == 1


def test_nobodys_settings_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = random_history(tmp_path / "repo", 1)
    lender = GitLender(repo)
    commit = next(oid for oid in lender.graph().tree if b"\n line" in patch_of(lender, oid))
    expected = patch_of(lender, commit)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[diff]\n noprefix = true\n context = 0\n external = false\n[color]\n ui = always\n"
    )
    (home / ".gitattributes").write_text("* -diff\n")
    monkeypatch.chdir(home)
    for name, value in (
        ("HOME", str(home)),
        ("GIT_CONFIG_GLOBAL", str(home / ".gitconfig")),
        ("GIT_EXTERNAL_DIFF", "false"),
        ("GIT_DIFF_OPTS", "-u0"),
        ("GIT_DIR", str(repo)),
    ):
        monkeypatch.setenv(name, value)
    assert patch_of(lender, commit) == expected


def test_what_is_not_kept_is_told(tmp_path: Path) -> None:
    repo = init(tmp_path / "repo")
    first, tip = (bytes.fromhex(oid) for oid in add_commits(repo, 2))
    log = bytes.fromhex(resolve(repo, "main:log.txt"))
    lender = GitLender(repo)
    lender.lost = {log}
    with pytest.raises(NotKept, match=f"does not keep 1 objects that git needs for this, such as {log.hex()}"):
        patch_of(lender, tip)
    with ScratchRepository.open(lender) as repository:
        assert blame(repository, lender.graph(), tip, b"more/1.txt")[0].commit == first
        with pytest.raises(NotKept):
            blame(repository, lender.graph(), tip, b"log.txt")
        for path in (b"more", b"more/3.txt"):
            with pytest.raises(NoSuchFile, match=f"{path.decode()} is not a file"):
                blame(repository, lender.graph(), tip, path)
        with pytest.raises(UsageError, match="give a path"):
            blame(repository, lender.graph(), tip, b"")
    lender.lost = {lender.graph().tree[first]}
    with pytest.raises(NotKept, match=lender.graph().tree[first].hex()):
        patch_of(lender, tip)


def test_a_malformed_tree_and_a_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    repo = init(tmp_path / "repo")
    commit = bytes.fromhex(put_commit(repo, put(repo, "tree", b"100644 a")))
    with pytest.raises(GitFailed, match=r"git diff-tree failed: .*tree"):
        patch_of(GitLender(repo), commit)
    lender = GitLender(repo)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(GitMissing, match="git is not installed"):
        patch_of(lender, commit)
    assert list(scratch.iterdir()) == []
