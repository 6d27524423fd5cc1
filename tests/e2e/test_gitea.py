"""A real Gitea is archived; then a night visits what a listing shows to have changed, for a bounded number of requests.

What is deleted is gone after two complete passes, and so is its origin, which visits cannot tell.

Not in CI, like ``tests/fetch/forges/test_gitea.py``.
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
        assert archive.status()["signals"] == {
            "updated": {"right": 2, "wrong": 0, "changes": 2, "told": 2},
            "committed": {"right": 1, "wrong": 0, "changes": 1, "told": 1},
        }
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


@pytest.mark.usefixtures("one_spark")
def test_a_deleted_repository_is_gone_after_two_complete_passes_and_its_origin_too(tmp_path: Path) -> None:
    with people(tmp_path / "gitea", items=4) as them:
        them.organisation("ants")
        made = {name: them.create("ants", name) for name in (f"r{number}" for number in range(9))}
        them.gitea.settle()
        them.age(10 * DAY_S)
        table = {"kind": "gitea", "url": them.gitea.url}
        fetch = {"user_agent": AGENT}
        archive = Archive.at(Place("local", str(tmp_path)), tmp_path / "c", "archive", forges__f=table, fetch=fetch)
        archive.init()
        today = datetime.now(UTC).date()
        nights = [str(today + timedelta(days=each)) for each in (-2, -1, 0)]
        deleted = f"{them.gitea.url}/ants/r2.git"

        def crawled(*options: str) -> dict[str, int]:
            said = archive.run("forges", "crawl", "f", *options, "--output", "json")
            assert "merge of listings, run" in said.stderr
            assert "holds lease.json until it is released" in said.stderr
            (told,) = said.json
            assert told["over"]
            merged: dict[str, int] = told["merged"]
            return merged

        def gone() -> set[str]:
            query = "SELECT forge_id FROM archive.code.listings WHERE gone_at IS NOT NULL"
            return {row["forge_id"] for row in archive.sql(query)}

        def state() -> tuple[str, int]:
            (row,) = archive.sql(f"SELECT state, failures FROM archive.code.origins WHERE url = '{deleted}'")
            return row["state"], row["failures"]

        assert crawled() == {"new": 9, "origins": 9}
        archive.ask("nightly", "--night", nights[0])
        them.delete("ants/r2")
        assert crawled("--full") == {}
        assert gone() == set(), "one pass is no proof"
        assert crawled() == {}, "this one lists changes alone"
        assert gone() == set()
        assert crawled("--full") == {"gone": 1}
        assert gone() == {str(made["r2"]["id"])}
        assert state() == ("active", 0), "a listing says nothing of it"

        archive.ask("nightly", "--night", nights[1])
        assert visits(archive, nights[1]) == {
            f"{them.gitea.url}/ants/{name}.git": "refused" if name == "r2" else "unchanged" for name in made
        }
        assert archive.sql(f"SELECT error FROM visits WHERE origin = '{deleted}' AND error IS NOT NULL") == [
            {"error": "login_required"}
        ], "as Gitea answers for what is private, too"
        assert state() == ("active", 1)
        archive.ask("restore", deleted, tmp_path / "restored")
        assert refs_of(tmp_path / "restored")

        # What visits cannot tell, the next complete pass does.
        assert crawled("--full") == {}
        assert state() == ("gone", 1)
        assert "its forge no longer lists it" in archive.ask("origins", "why", deleted)["why"]

        # The name is given to another repository.
        again = them.create("ants", "r2")
        them.write("ants/r2", "file", "text")
        them.gitea.settle()
        assert crawled("--full")["new"] == 1
        assert gone() == {str(made["r2"]["id"])}
        assert state() == ("active", 1)
        archive.ask("nightly", "--night", nights[2])
        assert visits(archive, nights[2])[deleted] == "full"
        assert state() == ("active", 0)
        assert again["id"] != made["r2"]["id"]


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
