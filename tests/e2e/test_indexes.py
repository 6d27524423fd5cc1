"""Real cgit and gitweb are archived; then pushes arrive: by the age that cgit shows, or else when their turn comes."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.archive import Archive, Place
from tests.support.git import fast_import, git, run_git
from tests.support.repos import build_graph
from tests.support.sockets import Peer
from tests.support.web_interfaces import Folder, interfaces, missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

SMALL = [f"group {number % 3}/r{number:02}" for number in range(20)]
EMPTY = SMALL[7::8]
OWN = ("trunk", "hooked", "plain")
DAY_S = 86_400
AGE_HOOK = """#!/bin/sh
mkdir -p info/web
git for-each-ref --sort=-committerdate --format='%(committerdate:iso8601)' --count=1 refs/heads > info/web/last-modified
"""
"""Tells cgit the age of the newest commit."""


class Site:
    """Repositories that were last changed ten days ago.

    Of those in ``OWN``, ``trunk`` has a branch called master, whose file cgit takes the age from, and ``hooked`` a file
    with its age; of ``plain``, with a branch called main, cgit shows none.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root, self.folder, then = root, Folder(root), time.time() - 10 * DAY_S
        for name in SMALL:
            self.folder.create(name, empty=name in EMPTY, age=None if name in EMPTY else then)
        for name in OWN:
            build_graph(self.folder.root / name, [[1], [2, 1]])
        git(self.folder.root / "trunk", "branch", "-m", "main", "master")
        git(self.folder.root / "trunk", "symbolic-ref", "HEAD", "refs/heads/master")
        hook = self.folder.root / "hooked" / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(AGE_HOOK)
        hook.chmod(0o755)
        for name in OWN:
            self.push(name, then)

    def push(self, name: str, when: float) -> None:
        """A commit of a second, pushed then."""
        repository, work = self.folder.root / name, self.root / f"{name} {when}"
        branch = git(repository, "symbolic-ref", "HEAD").decode().strip()
        assert run_git("clone", "-q", "--bare", repository, work).returncode == 0
        commit = (
            f"feature done\ncommit {branch}\ncommitter C O Mitter <committer@example.com> {int(when)} +0000\n"
            f"data 6\npushed\nfrom {branch}^0\nM 100644 inline pushed\ndata 10\n{int(when)}\ndone\n"
        )
        fast_import(work, commit.encode())
        git(work, "push", "-q", "origin", branch)
        os.utime(repository / branch, (when, when))

    def url(self, peer: Peer, name: str) -> str:
        """The clone URL."""
        return peer.url(f"cgit/{quote(name)}")


class Asked:
    """Counts requests from one look to the next."""

    def __init__(self, *peers: Peer) -> None:
        self.peers, self.seen = peers, [0] * len(peers)

    def now(self) -> list[int]:
        before, self.seen = self.seen, [len(peer.requests) for peer in self.peers]
        return [now - then for now, then in zip(self.seen, before, strict=True)]


def visits(archive: Archive, night: str) -> dict[str, str]:
    rows = archive.sql(f"SELECT origin, status FROM visits WHERE night = DATE '{night}'")
    return {row["origin"]: row["status"] for row in rows}


def refs_of(repository: Path) -> bytes:
    return git(repository, "for-each-ref", "--format=%(objectname) %(refname)")


@pytest.mark.usefixtures("one_spark")
def test_a_push_arrives_by_the_age_that_cgit_shows_or_when_its_turn_comes(tmp_path: Path) -> None:
    """One archive of two sites: one is listed by cgit, one by gitweb, whose index has paths alone."""
    first, second = Site(tmp_path / "first"), Site(tmp_path / "second")
    with interfaces(first.folder, "max-repo-count=10") as one, interfaces(second.folder) as two:
        archive = Archive.at(
            Place("local", str(tmp_path)), tmp_path / "c", "archive", schedule={"greatest_age_nights": 100_000},
            forges__cgit={"kind": "cgit", "url": one.url("cgit")},
            forges__gitweb={"kind": "gitweb", "url": two.url("gitweb/?a=project_index"), "clones": two.url("cgit")},
        )  # fmt: skip
        archive.init()
        asked = Asked(one, two)
        today = datetime.now(UTC).date()
        nights = [str(today + timedelta(days=each)) for each in (-2, -1, 0, 1)]
        sites = ((first, one), (second, two))
        urls = {site.url(peer, name) for site, peer in sites for name in (*SMALL, *OWN)}

        def crawled() -> list[tuple[int, dict[str, int]]]:
            told = archive.ask("forges", "crawl")
            assert all(each["over"] and each["stopped"] is None for each in told), told
            return [(each["listed"], each["merged"]) for each in told]

        count = len(SMALL) + len(OWN)
        assert crawled() == [(count, {"new": count, "origins": count})] * 2
        assert asked.now() == [3, 1], "pages"
        archive.ask("nightly", "--night", nights[0])
        assert visits(archive, nights[0]) == dict.fromkeys(urls, "full")
        assert max(asked.now()) <= 3 * count

        # Nothing happens: a page of each, and what the budget allows.
        assert [merged for _, merged in crawled()] == [{}, {}]
        assert asked.now() == [1, 1]
        archive.ask("nightly", "--night", nights[1], "--budget", "origins=3")
        assert sorted(visits(archive, nights[1]).values()) == ["unchanged"] * 3
        assert sum(asked.now()) <= 2 * 3

        # Pushes to all that is our own: cgit shows the age of two of them.
        for site in (first, second):
            for name in OWN:
                site.push(name, time.time())
        assert [merged for _, merged in crawled()] == [{"signalled": 2}, {}]
        assert asked.now() == [1, 1]
        archive.ask("nightly", "--night", nights[2], "--budget", "origins=3")
        visited = visits(archive, nights[2])
        assert {url for url, status in visited.items() if status == "full"} >= {first.url(one, n) for n in OWN[:2]}
        assert len(visited) == 3, "the one that waits longest, too"
        assert sum(asked.now()) <= 3 * 3

        # A night without a budget visits all, and finds the rest.
        assert [merged for _, merged in crawled()] == [{}, {}]
        asked.now()
        archive.ask("nightly", "--night", nights[3])
        last = visits(archive, nights[3])
        assert last.keys() == urls
        assert max(asked.now()) <= 2 * count + len(OWN)
        pushed = {site.url(peer, name) for site, peer in sites for name in OWN}
        assert {url for each in (visited, last) for url, status in each.items() if status == "full"} == pushed
        for site, peer in sites:
            for name in OWN:
                copy = archive.restore(site.url(peer, name), tmp_path / "restored" / str(peer.port) / name)
                assert refs_of(copy) == refs_of(site.folder.root / name)
