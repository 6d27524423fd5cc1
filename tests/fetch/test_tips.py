"""What origins show before their first visit, asked of real servers."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipeline.fetch.tips import ask_tips
from pipeline.rules.kinship import Tips
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import Serve, conditions, serve
from tests.support.repos import add_commits, empty_repository, git, init
from tests.support.servers import git_daemon, http_backend


@pytest.mark.parametrize(("server", "tells_peeled"), [(http_backend, True), (git_daemon, False)])
def test_tips_are_told_and_nothing_is_sent(server: Serve, tells_peeled: bool, tmp_path: Path) -> None:
    served, scratch = tmp_path / "served", tmp_path / "scratch"
    repo = init(served / "a.git")
    old, tip = add_commits(repo, 2)
    git(repo, "tag", "-a", "-m", "one", "v1", old)
    git(repo, "tag", "plain", old)
    tag = git(repo, "rev-parse", "v1").decode().strip()
    empty_repository(served / "empty.git")
    with serve(server, served) as peer:
        urls = {peer.url(f"{name}.git"): number for number, name in enumerate(("a", "empty", "missing"))}
        found = ask_tips(
            LocalStorage(tmp_path / "archive"),
            urls,
            night=date(2026, 11, 24),
            run_id="run",
            conditions=conditions(),
            concurrency=2,
            scratch=scratch,
        )
    one, two, three = map(bytes.fromhex, (old, tip, tag))
    refs = frozenset([(one, one), (two, two), (three, one if tells_peeled else three)])
    assert found == {next(iter(urls)): Tips(two, refs)}
    assert not list((tmp_path / "archive").rglob("*"))
    assert not list(scratch.iterdir()), "nothing is left"
