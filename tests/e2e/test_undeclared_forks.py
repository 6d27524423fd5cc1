"""Copies that nobody declared as forks: a night finds their network before it visits them, whenever it is killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.model.origin import network_id
from pipeline.night import newcomers
from pipeline.workflows import plan_load, undeclared_forks
from tests.e2e.archive import Archive, Row
from tests.e2e.conftest import MakeArchive
from tests.fetch.archive import reachable
from tests.support.compare import compare
from tests.support.crash import Crash
from tests.support.repos import add_commits, fork_of, git, init
from tests.support.servers import Peer

pytestmark = pytest.mark.slow

COPIES = ("copy", "mirror")
OTHERS = ("stranger", "vendor")


@dataclass(frozen=True)
class Story:
    """Night 1 archives a parent; on night 2 its copies are new elsewhere, and others that have some of its commits."""

    archive: Archive
    repos: Path
    urls: Mapping[str, str]
    origins: Mapping[str, Row]
    visits: Mapping[str, Row]


def build(served: Path) -> None:
    parent = init(served / "parent.git")
    first, *_, early, middle, later, tip = add_commits(parent, 8)
    git(parent, "tag", "-a", "-m", "one", "v1", early)
    git(parent, "tag", "v2", middle)
    git(parent, "tag", "v3", later)
    git(parent, "branch", "old", middle)
    fork_of(parent, served / "copy.git", commits=3)
    git(served / "copy.git", "branch", "-D", "old")
    fork_of(parent, served / "mirror.git", commits=0)
    for name, branch, at in (("stranger", "template", first), ("vendor", "vendor/parent", tip)):
        repo = init(served / f"{name}.git")
        add_commits(repo, 2, label=name)
        git(repo, "fetch", "-q", "--no-tags", str(parent), f"{at}:refs/heads/{branch}")


def killed(*_: object, **__: object) -> None:
    raise Crash


def asked_again(*_: object, **__: object) -> None:
    raise AssertionError("the answers were kept")


@pytest.fixture(scope="module")
def story(make_archive: MakeArchive, served: Path, daemon: Peer, web: Peer) -> Story:
    """The second night is killed when everybody has answered, and when the copies have been moved."""
    build(served)
    urls = {"parent": daemon.url("parent.git")} | {name: web.url(f"{name}.git") for name in (*COPIES, *OTHERS)}
    archive = make_archive("undeclared", archive={"buckets": 2}, fetch={"newcomers": 10})
    archive.add(urls["parent"])
    archive.nightly(1)
    archive.add(*(urls[name] for name in (*COPIES, *OTHERS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newcomers, "_move", killed)
        archive.nightly(2, code=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(undeclared_forks, "ask_tips", asked_again)
        patch.setattr(plan_load, "write_plan", killed)
        archive.nightly(2, code=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(undeclared_forks, "ask_tips", asked_again)
        assert archive.nightly(2)["failed"] == []
    query = "SELECT origin, status, objects, pack_bytes, network FROM visits WHERE night = DATE '2026-11-02'"
    visits = {row["origin"]: row for row in archive.sql(query)}
    origins = archive.sql("SELECT url, bucket, network, fork_of FROM origins")
    assert len(origins) == len(urls), "no origin is there twice"
    return Story(archive, served, urls, {row["url"]: row for row in origins}, visits)


def test_copies_are_in_the_network_of_their_parent_and_others_are_not(story: Story) -> None:
    urls = story.urls
    parent = story.origins[urls["parent"]]
    assert (parent["network"], parent["fork_of"]) == (network_id(urls["parent"]), None)
    for name in COPIES:
        assert story.origins[urls[name]] == parent | {"url": urls[name], "fork_of": urls["parent"]}
    for name in OTHERS:
        found = story.origins[urls[name]]
        assert (found["network"], found["fork_of"]) == (network_id(urls[name]), None)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_sends_its_own_objects_alone(story: Story, name: str) -> None:
    own = reachable(story.repos / f"{name}.git") - reachable(story.repos / "parent.git")
    visit = story.visits[story.urls[name]]
    assert (visit["status"], visit["objects"]) == ("full", len(own))
    assert bool(visit["pack_bytes"]) == bool(own) == (name == "copy")
    assert visit["network"] == story.origins[story.urls["parent"]]["network"]


@pytest.mark.parametrize("name", ["parent", *COPIES, *OTHERS])
def test_all_are_restored_exactly(story: Story, name: str, tmp_path: Path) -> None:
    restored = story.archive.restore(story.urls[name], tmp_path / "restored.git")
    assert compare(story.repos / f"{name}.git", restored) == []
