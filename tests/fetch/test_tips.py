"""What origins show before their first visit, asked of real servers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from pipeline.fetch.tips import ask_tips
from pipeline.rules.kinship import Tips
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import Serve, conditions, serve
from tests.support.repos import add_commits, empty_repository, git, init
from tests.support.servers import git_daemon, http_backend


def ask(folder: Path, urls: Sequence[str], until: float) -> dict[str, Tips]:
    found = ask_tips(
        LocalStorage(folder / "archive"),
        urls,
        night=date(2026, 11, 24),
        run_id="run",
        conditions=conditions(),
        concurrency=2,
        scratch=folder / "scratch",
        until=until,
    )
    assert not list((folder / "archive").rglob("*")), "nothing is landed"
    assert not list((folder / "scratch").iterdir()), "nothing is left"
    return found


@pytest.mark.parametrize(("server", "tells_peeled"), [(http_backend, True), (git_daemon, False)])
def test_tips_are_told_and_nothing_is_sent(server: Serve, tells_peeled: bool, tmp_path: Path) -> None:
    """None for who shows nothing, or is not there."""
    served = tmp_path / "served"
    repo = init(served / "a.git")
    old, tip = add_commits(repo, 2)
    git(repo, "tag", "-a", "-m", "one", "v1", old)
    git(repo, "tag", "plain", old)
    tag = git(repo, "rev-parse", "v1").decode().strip()
    empty_repository(served / "empty.git")
    with serve(server, served) as peer:
        full, empty, missing = (peer.url(f"{name}.git") for name in ("a", "empty", "missing"))
        found = ask(tmp_path, [full, empty, missing], time.monotonic() + 600)
    one, two, three = map(bytes.fromhex, (old, tip, tag))
    assert found == {full: found[full], empty: Tips(), missing: Tips()}
    assert set(found[full].refs) == {
        (b"HEAD", two, two),
        (b"refs/heads/main", two, two),
        (b"refs/tags/plain", one, one),
        (b"refs/tags/v1", three, one if tells_peeled else three),
    }


def test_nobody_is_asked_when_time_is_up(tmp_path: Path) -> None:
    assert ask(tmp_path, ["git://127.0.0.1:1/a.git"], until=0) == {}
