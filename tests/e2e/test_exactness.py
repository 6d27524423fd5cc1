"""``restore``, ``files`` and ``history`` return what the server had, to the last ref: C git finds no difference."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from tests.e2e.archive import Archive
from tests.e2e.conftest import MakeArchive
from tests.support.git import git
from tests.support.repos import (
    add_commits,
    build_graph,
    compare,
    dangling_head,
    detached_head,
    empty_repository,
    fork_of,
    strange_repository,
)
from tests.support.servers import Peer

Entry = tuple[bytes, int, str]
"""Path, mode and id."""

OCTOPUS = [[1], [2, 1], [3, 1], [4, 2], [5, 1], [6], [7, 2, 3, 4, 5, 6], [8, 7, 3]]


@dataclass(frozen=True)
class Archived:
    """An archive after one night, and the URL of each repository."""

    archive: Archive
    served: Path
    urls: dict[str, str]


def build_all(served: Path) -> None:
    strange_repository(served / "strange.git", large_bytes=400_000)
    build_graph(served / "graph.git", OCTOPUS)
    fork_of(served / "graph.git", served / "fork.git", commits=3)
    build_graph(served / "detached.git", [[1], [2, 1], [3, 1]])
    detached_head(served / "detached.git", "refs/heads/tip-2")
    build_graph(served / "beside.git", [[1], [2, 1], [3, 1]])
    detached_head(served / "beside.git")
    git(served / "beside.git", "update-ref", "-d", "refs/heads/main")
    build_graph(served / "dangling.git", [[1], [2, 1]])
    dangling_head(served / "dangling.git")
    empty_repository(served / "empty.git")
    build_graph(served / "many.git", [[1]])
    add_commits(served / "many.git", 300)
    tip = git(served / "many.git", "rev-parse", "main").decode().strip()
    refs = b"".join(b"create refs/heads/topic/%d %s\n" % (n, tip.encode()) for n in range(400))
    git(served / "many.git", "update-ref", "--stdin", stdin=refs)


NAMES = ("strange", "graph", "fork", "detached", "beside", "dangling", "empty", "many")


@pytest.fixture(scope="module")
def archived(make_archive: MakeArchive, served: Path, daemon: Peer, web: Peer) -> Archived:
    """All repositories after one night, alternating between the protocols, the strange one over both."""
    build_all(served)
    servers = {name: (web if at % 2 else daemon) for at, name in enumerate(NAMES)} | {"fork": daemon, "graph": daemon}
    urls = {name: server.url(f"{name}.git") for name, server in servers.items()}
    urls["strange over http"] = web.url("strange.git")
    archive = make_archive("exact", fetch={"refs": ["HEAD", "refs/"]})
    others = [url for name, url in urls.items() if name != "fork"]
    assert archive.add(*others, (urls["fork"], urls["graph"])) == {"added": len(urls), "known": 0, "refused": []}
    summary = archive.nightly(1)
    assert summary["origins"] == {"full": len(urls)}, summary["failed"]
    return Archived(archive, served, urls)


def repository(archived: Archived, name: str) -> Path:
    return archived.served / f"{name.partition(' ')[0]}.git"


def listed(repo: Path, commit: str) -> list[Entry]:
    """What git lists in a commit, by path."""
    found = []
    for line in git(repo, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
        said, path = line.split(b"\t", 1)
        mode, _, oid = said.split()
        found.append((path, int(mode, 8), oid.decode()))
    return sorted(found)


def entries(files: pa.Table) -> list[Entry]:
    rows = files.to_pylist()
    return sorted((row["path_raw"] or row["path"].encode(), row["mode"], row["oid"].hex()) for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_files_of_every_branch_are_what_git_lists(name: str, archived: Archived) -> None:
    repo, url, archive = repository(archived, name), archived.urls[name], archived.archive.read(1)
    tips = git(repo, "for-each-ref", "--format=%(refname)", "refs/heads").decode().split()[:30]
    for ref in tips:
        assert entries(archive.files(url, ref)) == listed(repo, ref), ref
    head = archive.files(url)
    there = archive.table("files").where(F.col("origin") == url).select(*head.column_names).toArrow()
    assert entries(head) == entries(there)
    assert sorted(map(repr, head.to_pylist())) == sorted(map(repr, there.to_pylist()))
    if name not in ("dangling", "empty"):
        assert entries(head) == listed(repo, "HEAD")


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("graph", ["1.txt", "2.txt", "8.txt", "none"]),
        ("many", ["log.txt", "1.txt", "more/7.txt"]),
        ("strange", ["run.sh"]),
    ],
)
def test_the_history_of_a_path_is_what_git_tells(name: str, paths: list[str], archived: Archived) -> None:
    repo, archive = repository(archived, name), archived.archive.read(1)
    commits = git(repo, "rev-list", "HEAD")
    for path in paths:
        told = git(repo, "diff-tree", "--stdin", "-c", "--root", "-r", "--name-only", "--", path, stdin=commits)
        lines = told.decode().split()
        changed = {commit for commit, file in pairwise(lines) if file == path}
        history = archive.history(archived.urls[name], path)
        assert {oid.hex() for oid in history.column("commit").to_pylist()} == changed, path
        assert history.column("committer_time").to_pylist() == sorted(
            history.column("committer_time").to_pylist(), reverse=True
        )


@pytest.mark.parametrize("name", [*NAMES, "strange over http"])
def test_restored_equals_served(name: str, archived: Archived, tmp_path: Path) -> None:
    original = repository(archived, name)
    restored = archived.archive.restore(archived.urls[name], tmp_path / "restored.git")
    assert compare(original, restored) == []
