"""``restore`` returns what the server had, to the last ref: C git sees no difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

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
    """All repositories after one night, every other one over each protocol, the strange one over both."""
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


@pytest.mark.parametrize("name", [*NAMES, "strange over http"])
def test_restored_equals_served(name: str, archived: Archived, tmp_path: Path) -> None:
    original = archived.served / f"{name.partition(' ')[0]}.git"
    restored = archived.archive.restore(archived.urls[name], tmp_path / "restored.git")
    assert compare(original, restored) == []
