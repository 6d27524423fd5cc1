"""The builders build what they say, and ``compare`` notices each kind of loss."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repos import (
    add_commits,
    build_graph,
    compare,
    dangling_head,
    detached_head,
    empty_repository,
    force_push,
    fork_of,
    git,
    many_small,
    put,
    run_git,
    sha256_repository,
    strange_repository,
)


def parents(repo: Path, revision: str) -> list[str]:
    return git(repo, "rev-parse", f"{revision}^@").decode().split()


def test_a_graph_has_the_parents_of_its_spec(tmp_path: Path) -> None:
    repo = tmp_path / "graph.git"
    ids = build_graph(repo, [[1], [2, 1], [3, 1, 2], [4], [5, 3, 1, 2]])
    assert parents(repo, "refs/heads/main") == [ids[3], ids[1], ids[2]]
    assert parents(repo, ids[3]) == [ids[1], ids[2]]
    assert parents(repo, "refs/heads/tip-4") == []
    assert git(repo, "for-each-ref", "--format=%(refname)").split() == [b"refs/heads/main", b"refs/heads/tip-4"]


def test_the_same_graph_has_the_same_ids(tmp_path: Path) -> None:
    graph = [[1], [2, 1]]
    assert build_graph(tmp_path / "a.git", graph) == build_graph(tmp_path / "b.git", graph)


def test_commits_are_added_and_forced_away(tmp_path: Path) -> None:
    repo = empty_repository(tmp_path / "a.git")
    first, second = add_commits(repo, 2)
    (third,) = add_commits(repo, 1)
    assert parents(repo, third) == [second]
    amended = force_push(repo)
    assert parents(repo, "refs/heads/main") == [second]
    assert amended not in (first, second, third)
    assert run_git("-C", repo, "fsck", "--strict").returncode == 0


def test_a_fork_shares_history_and_goes_on(tmp_path: Path) -> None:
    ids = build_graph(tmp_path / "a.git", [[1], [2, 1]])
    fork = fork_of(tmp_path / "a.git", tmp_path / "b.git")
    assert git(fork, "merge-base", ids[2], "main").decode().strip() == ids[2]
    assert git(fork, "rev-list", "--count", f"{ids[2]}..main") == b"2\n"


def test_the_format_of_a_sha256_repository(tmp_path: Path) -> None:
    repo = sha256_repository(tmp_path / "a.git")
    assert len(git(repo, "rev-parse", "HEAD").strip()) == 64


def test_small_repositories_are_whole_and_different(tmp_path: Path) -> None:
    repos = many_small(tmp_path, 3)
    assert all(run_git("-C", repo, "fsck", "--strict").returncode == 0 for repo in repos)
    assert len({git(repo, "rev-parse", "main") for repo in repos}) == 3


def test_a_strange_repository_can_be_cloned(tmp_path: Path) -> None:
    repo = strange_repository(tmp_path / "strange.git", large_bytes=200_000)
    mirror = tmp_path / "mirror.git"
    assert run_git("clone", "-q", "--mirror", f"file://{repo}", mirror).returncode == 0
    assert compare(repo, mirror) == []
    assert len(parents(repo, "main^")) > 3
    assert b"chain length = " in git(repo, "verify-pack", "-v", *sorted((repo / "objects" / "pack").glob("*.idx")))


def lose_a_branch(repo: Path) -> None:
    git(repo, "update-ref", "-d", "refs/heads/tip-4")


def move_a_branch(repo: Path) -> None:
    force_push(repo)


def add_a_tag(repo: Path) -> None:
    git(repo, "tag", "-a", "-m", "x", "v1")


def flip_a_byte(repo: Path) -> None:
    oid = put(repo, "blob", b"unreachable")
    path = repo / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "change",
    [lose_a_branch, move_a_branch, add_a_tag, flip_a_byte, detached_head, dangling_head],
    ids=lambda f: f.__name__,
)
def test_compare_sees(change: Callable[[Path], object], tmp_path: Path) -> None:
    build_graph(tmp_path / "a.git", [[1], [2, 1], [4, 1], [3, 2]])
    shutil.copytree(tmp_path / "a.git", tmp_path / "b.git")
    assert compare(tmp_path / "a.git", tmp_path / "b.git") == []
    change(tmp_path / "b.git")
    assert compare(tmp_path / "a.git", tmp_path / "b.git") != []


def test_compare_can_leave_out_other_namespaces(tmp_path: Path) -> None:
    build_graph(tmp_path / "a.git", [[1], [2, 1]])
    shutil.copytree(tmp_path / "a.git", tmp_path / "b.git")
    git(tmp_path / "b.git", "update-ref", "refs/pull/1/head", "main")
    assert compare(tmp_path / "a.git", tmp_path / "b.git", namespaces=("refs/heads/", "refs/tags/")) == []
    assert compare(tmp_path / "a.git", tmp_path / "b.git") != []
