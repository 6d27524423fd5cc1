"""A real Gitea is archived; then a night visits what a listing shows to have changed, for a bounded number of requests.

Not in CI, like ``tests/forges/test_gitea.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_gitea import missing
from tests.e2e.archive import Archive, Place
from tests.support.git import git, run_git
from tests.support.gitea import People, people

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.timeout(7_200),
]
OWNERS = ("ants", "bees", "Cats")
DAY_S = 86_400
AGENT = "git/archive"


def populate(them: People, count: int) -> None:
    """Ten days ago: repositories with a commit; some are empty, private, archived, forks or mirrors."""
    for owner in OWNERS:
        them.organisation(owner)
    for number in range(count):
        owner, name = OWNERS[number % 3], f"r{number:03}"
        other = OWNERS[(number + 1) % 3]
        if number % 10 == 3:
            them.fork(f"{OWNERS[(number - 1) % 3]}/r{number - 1:03}", owner, name)
        elif number % 30 == 7:
            them.mirror(f"{them.gitea.url}/{OWNERS[(number - 1) % 3]}/r{number - 1:03}.git", owner, name)
        else:
            them.create(owner, name, empty=number % 10 == 9)
        if number % 10 == 4:
            them.change(f"{owner}/{name}", private=True)
        if number % 10 == 5:
            them.change(f"{owner}/{name}", archived=True)
        if number % 10 == 8:
            them.change(f"{owner}/{name}", name=f"named{number:03}")
            them.transfer(f"{owner}/named{number:03}", other)
    them.gitea.settle()
    them.age(10 * DAY_S)


def push(them: People, repository: str, folder: Path) -> None:
    """A commit that was made years ago, now."""
    assert run_git("clone", "-q", them.pushing(repository), folder).returncode == 0
    (folder / "pushed").write_text("text")
    for words in (("add", "pushed"), ("commit", "-q", "-m", "pushed"), ("push", "-q")):
        git(folder, *words)


def refs_of(repository: Path) -> set[tuple[str, str]]:
    shown = git(repository, "for-each-ref", "--format=%(objectname) %(refname)").decode()
    return {(name, oid) for oid, _, name in (line.partition(" ") for line in shown.splitlines())}


@pytest.mark.usefixtures("one_spark")
@pytest.mark.parametrize("count", [60, 300])
def test_a_push_arrives_the_next_night_by_its_signal(count: int, tmp_path: Path) -> None:
    with people(tmp_path / "gitea") as them:
        populate(them, count)
        table = {"kind": "gitea", "url": them.gitea.url}
        archive = Archive.at(
            Place("local", str(tmp_path)), tmp_path / "c", "archive", forges__f=table,
            fetch={"user_agent": AGENT}, schedule={"greatest_age_nights": 100_000},
        )  # fmt: skip
        archive.init()
        asked = Asked(them)
        today = datetime.now(UTC).date()
        nights = [str(today + timedelta(days=each)) for each in (-2, -1, 0, 1)]

        (crawled,) = archive.ask("forges", "crawl", "f")
        public = {held for held in them.truth().values() if not held.private}
        urls = {f"{them.gitea.url}/{held.name}.git" for held in public if not held.empty}
        assert crawled["full"]
        assert crawled["listed"] == len(public)
        assert crawled["merged"] == {
            "empty": sum(held.empty for held in public), "new": len(public), "origins": len(urls),
        }  # fmt: skip
        assert len(public) / 50 <= asked.now() <= 1.1 * len(public) / 50 + 1
        first = archive.ask("nightly", "--night", nights[0])
        assert visits(archive, nights[0]).keys() == urls, first
        assert all(status == "full" for status in visits(archive, nights[0]).values())
        asked.now()

        # Nothing happens: one page, and what the budget allows.
        quiet = archive.ask("forges", "crawl", "f")[0]
        assert (quiet["full"], quiet["listed"], quiet["merged"]) == (False, 0, {})
        assert asked.now() == 1
        archive.ask("nightly", "--night", nights[1], "--budget", "origins=3")
        assert sorted(visits(archive, nights[1]).values()) == ["unchanged"] * 3
        assert asked.now() <= 2 * 3

        # A push, and one to what is mirrored, of a commit that is older than all visits.
        pushed, source, mirror = (f"{OWNERS[n % 3]}/r{n:03}" for n in (21, 6, 7))
        push(them, pushed, tmp_path / "pushed")
        made = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
        them.write(source, "written", "text", dates={"author": made, "committer": made})
        before = them.show(mirror)["updated_at"]
        them.ask("POST", f"repos/{mirror}/mirror-sync")
        them.until(lambda: them.show(mirror)["updated_at"] != before)
        asked.now()
        told = archive.ask("forges", "crawl", "f")[0]
        assert (told["listed"], told["merged"]) == (3, {"signalled": 3})
        assert asked.now() == 1
        changed = {f"{them.gitea.url}/{name}.git" for name in (pushed, source, mirror)}
        for url in changed:
            assert "a signal told on" in archive.ask("origins", "why", url)["why"]
        archive.ask("nightly", "--night", nights[2], "--budget", "origins=4")
        visited = visits(archive, nights[2])
        assert {url for url, status in visited.items() if status != "unchanged"} == changed
        assert len(visited) == 4, "the one that waits longest, too"
        assert asked.now() <= 2 * 4 + 3

        # Once more: nothing is left to do, and all is there.
        assert archive.ask("forges", "crawl", "f")[0]["merged"] == {}
        archive.ask("nightly", "--night", nights[3])
        last = visits(archive, nights[3])
        assert last.keys() == urls
        assert set(last.values()) == {"unchanged"}
        for name in (pushed, source, mirror):
            archive.ask("restore", f"{them.gitea.url}/{name}.git", tmp_path / "restored" / name)
            kept = them.gitea.folder / "data" / "gitea-repositories" / f"{name.lower()}.git"
            assert refs_of(tmp_path / "restored" / name) == refs_of(kept)


class Asked:
    """Counts requests from one look to the next."""

    def __init__(self, them: People) -> None:
        self.them, self.seen = them, 0

    def now(self) -> int:
        before, self.seen = self.seen, len(self.them.requests(AGENT))
        return self.seen - before


def visits(archive: Archive, night: str) -> dict[str, Any]:
    rows = archive.sql(f"SELECT origin, status FROM visits WHERE night = DATE '{night}'")
    assert len({row["origin"] for row in rows}) == len(rows)
    return {row["origin"]: row["status"] for row in rows}
