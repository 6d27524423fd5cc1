"""Three nights of a few origins: what moves, what stays, and that any night can be restored."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pipeline.model.tables import ALL, OBJECT_TABLES
from tests.e2e.archive import Archive, Row, night
from tests.e2e.conftest import MakeArchive
from tests.support.git import git, put_commit, put_tree, resolve, set_refs
from tests.support.repos import (
    add_commits,
    build_graph,
    compare,
    dangling_head,
    detached_head,
    empty_repository,
    force_push,
    fork_of,
)
from tests.support.servers import Peer

pytestmark = pytest.mark.slow

HEADS_AND_TAGS = ("refs/heads/", "refs/tags/")
TIPS = MappingProxyType({"contents": "blob", "blobs": "blob", "trees": "tree", "tags": "tag", "commits": "commit"})


@dataclass(frozen=True)
class Story:
    """The archive after its nights, and each repository as of each night."""

    archive: Archive
    urls: dict[str, str]
    summaries: dict[int, Any]
    copies: Path
    asked_twice: list[str]
    """Requests that the second night made over HTTP."""

    def original(self, name: str, day: int) -> Path:
        return self.copies / str(day) / f"{name}.git"

    def visit(self, name: str, day: int) -> Row:
        return self.archive.visit(self.urls[name], day)

    def refs(self, name: str, day: int) -> dict[str, Row]:
        return {row["name"]: row.asDict() for row in self.archive.read(day).refs_at(self.urls[name])}

    def network(self, name: str) -> int:
        (row,) = self.archive.sql(f"SELECT network FROM origins WHERE url = '{self.urls[name]}'")
        return int(row["network"])

    def ids(self, name: str, day: int, table: str | None = None) -> Counter[str]:
        """Ids of the rows of an origin's network in the object tables; a blob's bytes and facts count separately."""
        chosen = [table] if table else [t.name for t in OBJECT_TABLES if t.name != "contents"]
        query = " UNION ALL ".join(
            f"SELECT lower(hex(oid)) AS oid FROM {name_} WHERE network = {self.network(name)}" for name_ in chosen
        )
        return Counter(row["oid"] for row in self.archive.sql(query, day=day))


def reachable(repo: Path, *revisions: str) -> set[str]:
    """Ids of everything reachable from the revisions, by default heads and tags."""
    wanted = revisions or ("--branches", "--tags")
    return set(git(repo, "rev-list", "--objects", "--no-object-names", *wanted).decode().split())


def build_first(served: Path) -> None:
    for name in ("quiet", "grows", "forced", "deleted", "merges", "detaches", "dangles", "loses"):
        build_graph(served / f"{name}.git", [[1], [2, 1], [3, 1, 2]])
    add_commits(served / "forced.git", 2)
    add_commits(served / "loses.git", 1, branch="topic", label="topic")
    add_commits(served / "merges.git", 1, branch="feature", label="feature")
    hidden = put_commit(served / "quiet.git", put_tree(served / "quiet.git"), message=b"A note\n")
    set_refs(served / "quiet.git", {b"refs/notes/commits": hidden, b"refs/pull/1/head": hidden})
    build_graph(served / "bolt.git", [[1], [2, 1], [3, 2]])
    add_commits(served / "bolt.git", 40)
    fork_of(served / "bolt.git", served / "bolt-fork.git")
    fork_of(served / "bolt.git", served / "bbolt.git", commits=0)
    add_commits(served / "bbolt.git", 4, label="own")
    empty_repository(served / "empty.git")


def change(served: Path) -> None:
    """Make the changes between the second and the third night."""
    add_commits(served / "grows.git", 10, label="news")
    force_push(served / "forced.git")
    shutil.rmtree(served / "deleted.git")
    merges = served / "merges.git"
    main, feature = resolve(merges, "main"), resolve(merges, "feature")
    entries = git(merges, "ls-tree", "main") + git(merges, "ls-tree", "feature")
    tree = git(merges, "mktree", stdin=entries).decode().strip()
    set_refs(merges, {b"refs/heads/main": put_commit(merges, tree, main, feature, message=b"Merge feature\n")})
    detached_head(served / "detaches.git", "main^")
    dangling_head(served / "dangles.git")
    git(served / "loses.git", "update-ref", "-d", "refs/heads/topic")
    add_commits(served / "empty.git", 1)


FIRST = ("quiet", "grows", "forced", "deleted", "merges", "detaches", "dangles", "loses", "bolt", "bolt-fork", "empty")
OVER_HTTP = ("quiet", "grows", "deleted", "bolt", "bolt-fork", "bbolt", "empty")


@pytest.fixture(scope="module")
def story(
    make_archive: MakeArchive, served: Path, daemon: Peer, web: Peer, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    copies = tmp_path_factory.mktemp("copies")
    build_first(served)
    urls = {name: (web if name in OVER_HTTP else daemon).url(f"{name}.git") for name in (*FIRST, "bbolt")}
    archive = make_archive("story")
    archive.add(*(urls[name] for name in FIRST if name != "bolt-fork"), (urls["bolt-fork"], urls["bolt"]))
    summaries = {1: archive.nightly(1)}
    shutil.copytree(served, copies / "1", symlinks=True)
    before = len(web.requests)
    summaries[2] = archive.nightly(2)
    asked_twice = web.requests[before:]
    change(served)
    archive.add((urls["bbolt"], urls["bolt"]))
    summaries[3] = archive.nightly(3)
    shutil.copytree(served, copies / "3", symlinks=True)
    return Story(archive, urls, summaries, copies, asked_twice)


def test_the_summaries_tell_what_happened(story: Story) -> None:
    first, second, third = (story.summaries[day] for day in (1, 2, 3))
    assert first["origins"] == {"full": len(FIRST)}
    assert second["origins"] == {"unchanged": len(FIRST)}
    assert third["origins"] == {"full": 8, "not_found": 1, "unchanged": 3}
    assert first["wire_bytes"] > 0
    assert first["raw_bytes"] > 0
    assert first["objects"] == sum(story.visit(name, 1)["objects"] for name in FIRST)
    assert (second["objects"], second["wire_bytes"], second["raw_bytes"]) == (0, 0, 0)
    assert set(first["seconds"]) == {"plan", "fetch", "publish", "derive", "seal"}
    assert [summary["already"] for summary in (first, second, third)] == [False] * 3


def test_default_refs_are_heads_and_tags(story: Story) -> None:
    assert set(story.refs("quiet", 1)) == {"HEAD", "refs/heads/main"}
    assert set(story.ids("quiet", 1)) == reachable(story.original("quiet", 1))


def test_a_night_without_news_asks_once_and_adds_visits_alone(story: Story) -> None:
    unchanged = [story.visit(name, 2) for name in FIRST]
    assert {(v["status"], v["error"], v["pack_bytes"], v["objects"]) for v in unchanged} == {("unchanged", None, 0, 0)}
    ls_refs = [request for request in story.asked_twice if request.startswith("POST")]
    assert len(ls_refs) == len(set(ls_refs)) == sum(name in OVER_HTTP for name in FIRST)
    for table in ALL:
        before, after = story.archive.rows(table.name, 1), story.archive.rows(table.name, 2)
        if table.name == "visits":
            assert not Counter(before) - Counter(after)
            assert len(after) - len(before) == len(FIRST)
        elif table.name == "origins":
            assert len(before) == len(after)
        else:
            assert before == after, table.name


def test_ten_commits_bring_their_objects_and_no_others(story: Story) -> None:
    repo = story.original("grows", 3)
    new = reachable(repo, "main", "^main~10")
    assert len(git(repo, "rev-list", "main", "^main~10").split()) == 10
    assert story.ids("grows", 3) - story.ids("grows", 1) == Counter(new)
    visit = story.visit("grows", 3)
    assert (visit["status"], visit["objects"]) == ("full", len(new))
    assert 0 < visit["pack_bytes"] < 40 * len(new) + 4000


@pytest.mark.parametrize("name", ["grows", "forced", "merges", "detaches", "dangles", "loses", "empty", "bolt-fork"])
@pytest.mark.parametrize("day", [1, 3])
def test_either_state_comes_back(story: Story, name: str, day: int, tmp_path: Path) -> None:
    restored = story.archive.restore(story.urls[name], tmp_path / "restored.git", day=day)
    assert same(story.original(name, day), restored) == []


def same(original: Path, restored: Path) -> list[str]:
    """Differences of the default refs; fsck's messages about objects that only other refs reach do not count."""
    return compare(original, restored, namespaces=HEADS_AND_TAGS)


def test_a_force_push_keeps_what_it_replaced(story: Story) -> None:
    old = resolve(story.original("forced", 1), "main")
    new = resolve(story.original("forced", 3), "main")
    assert old != new
    assert story.refs("forced", 1)["refs/heads/main"]["target"].hex() == old
    assert story.refs("forced", 2)["refs/heads/main"]["target"].hex() == old
    assert story.refs("forced", 3)["refs/heads/main"]["target"].hex() == new
    assert {old, new} <= set(story.ids("forced", 3, "commits"))
    assert story.ids("forced", 3) - story.ids("forced", 1) == Counter([new])


def test_a_deleted_repository_is_not_found_and_comes_back(story: Story, tmp_path: Path) -> None:
    visit = story.visit("deleted", 3)
    assert (visit["status"], visit["error"]) == ("not_found", "not_found")
    assert [bad["origin"] for bad in story.summaries[3]["failed"]] == [story.urls["deleted"]]
    assert story.archive.status(story.urls["deleted"])["state"] == "active"
    restored = story.archive.restore(story.urls["deleted"], tmp_path / "restored.git")
    assert same(story.original("deleted", 1), restored) == []


@pytest.mark.parametrize(("fork", "day", "commits"), [("bolt-fork", 1, 2), ("bbolt", 3, 4)])
def test_a_fork_sends_its_own_objects_and_no_others(
    story: Story, fork: str, day: int, commits: int, tmp_path: Path
) -> None:
    bolt, repo = story.original("bolt", day), story.original(fork, day)
    own = reachable(repo) - reachable(bolt)
    visit = story.visit(fork, day)
    assert visit["objects"] == len(own)
    assert visit["pack_bytes"] < 40 * len(own) + 4000
    assert story.network(fork) == story.network("bolt")
    stored = story.ids(fork, day, "commits")
    assert set(stored.values()) == {1}
    assert len(git(repo, "rev-list", "main", f"^{resolve(bolt, 'main')}").split()) == commits
    restored = story.archive.restore(story.urls[fork], tmp_path / "restored.git", day=day)
    assert same(repo, restored) == []


@pytest.mark.parametrize("table", ["commits", "trees", "tags", "blobs", "contents"])
def test_no_object_of_a_network_is_stored_twice(story: Story, table: str) -> None:
    twice = f"SELECT network, hex(oid) FROM {table} GROUP BY 1, 2 HAVING count(*) > 1"
    assert story.archive.sql(twice) == []


def test_a_merged_branch_reaches_head(story: Story) -> None:
    repo, network = story.original("merges", 3), story.network("merges")
    branch_only = reachable(repo, "feature", "^main^1")
    blobs = {oid for oid in branch_only if git(repo, "cat-file", "-t", oid).strip() == b"blob"}
    assert len(blobs) == 2

    def at_head(day: int) -> dict[str, bool]:
        rows = story.archive.sql(
            f"SELECT lower(hex(oid)) AS oid, at_head FROM contents WHERE network = {network}", day=day
        )
        return {row["oid"]: row["at_head"] for row in rows}

    def derived(day: int) -> set[str]:
        rows = story.archive.sql(
            f"SELECT lower(hex(oid)) AS oid FROM head_blobs JOIN files USING (bucket, network, oid) "
            f"WHERE network = {network}",
            day=day,
        )
        return {row["oid"] for row in rows}

    assert {at_head(2)[oid] for oid in blobs} == {False}
    assert {at_head(3)[oid] for oid in blobs} == {True}
    assert not blobs & derived(2)
    listed = git(repo, "ls-tree", "-r", "main").decode().splitlines()
    assert derived(3) == {line.split()[2] for line in listed}
    assert {oid for oid, flag in at_head(3).items() if flag} == derived(3)


def test_heads_that_no_branch_holds(story: Story) -> None:
    detached = resolve(story.original("detaches", 3), "HEAD")
    head = story.refs("detaches", 3)["HEAD"]
    assert (head["symref"], head["target"].hex()) == (None, detached)
    assert story.refs("detaches", 2)["HEAD"]["symref"] == "refs/heads/main"
    dangling = story.refs("dangles", 3)["HEAD"]
    assert (dangling["symref"], dangling["target"]) == ("refs/heads/gone", None)
    catalogue = {
        row["origin"]: (row["head_ref"], row["head_commit"], row["files"])
        for row in story.archive.sql(
            "SELECT origin, head_ref, lower(hex(head_commit)) AS head_commit, files FROM repositories"
        )
    }
    files = git(story.original("detaches", 3), "ls-tree", "-r", "HEAD").splitlines()
    assert catalogue[story.urls["detaches"]] == (None, detached, len(files))
    assert catalogue[story.urls["dangles"]] == ("refs/heads/gone", None, 0)


def test_a_deleted_branch_is_gone_and_its_objects_stay(story: Story) -> None:
    topic = resolve(story.original("loses", 1), "topic")
    assert "refs/heads/topic" in story.refs("loses", 2)
    assert "refs/heads/topic" not in story.refs("loses", 3)
    assert topic in story.ids("loses", 3, "commits")


def test_an_empty_repository_is_a_full_visit_and_fills_up_later(story: Story) -> None:
    first, third = story.visit("empty", 1), story.visit("empty", 3)
    assert (first["status"], first["error"], first["objects"], first["pack_bytes"]) == ("full", None, 0, 0)
    assert third["objects"] == len(reachable(story.original("empty", 3)))


def test_status_shows_the_visits_of_an_origin(story: Story) -> None:
    found = story.archive.status(story.urls["forced"])
    assert [(v["night"], v["status"]) for v in found["visits"]] == [
        (str(night(3)), "full"),
        (str(night(2)), "unchanged"),
        (str(night(1)), "full"),
    ]
    since = {ref["name"]: ref["since"] for ref in found["refs"]}
    assert since == {"HEAD": str(night(3)), "refs/heads/main": str(night(3))}
