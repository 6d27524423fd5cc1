"""Copies that nobody declared as forks: a night finds their network before it visits them, whenever it is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.model.layout import Load
from pipeline.model.origin import network_id
from pipeline.night import newcomers
from tests.e2e.archive import Archive, Row, night
from tests.e2e.conftest import MakeArchive
from tests.fetch.archive import reachable
from tests.support.compare import compare
from tests.support.crash import Crash
from tests.support.repos import add_commits, fork_of, git, init, set_refs
from tests.support.servers import Peer

pytestmark = pytest.mark.slow

COPIES = ("behind", "copy", "mirror")
STRANGER = "stranger"
ASKED = 2
"""Newcomers that a plan asks: the first two, in the order of their URLs, before it is killed; then the others."""


@dataclass(frozen=True)
class Story:
    """Night 1 archives a parent; on night 2 its copies are new elsewhere, and a stranger with the same first commit."""

    archive: Archive
    repos: Path
    urls: Mapping[str, str]
    origins: Mapping[str, Row]
    visits: Mapping[str, Row]


def build(served: Path) -> None:
    parent = init(served / "parent.git")
    first, *_, middle, _ = add_commits(parent, 12)
    git(parent, "tag", "-a", "-m", "one", "v1", middle)
    git(parent, "branch", "old", middle)
    fork_of(parent, served / "copy.git", commits=3)
    git(served / "copy.git", "branch", "-D", "old")
    fork_of(parent, served / "mirror.git", commits=0)
    for name, tip in (("behind", middle), ("stranger", first)):
        repo = served / f"{name}.git"
        shutil.copytree(parent, repo)
        git(repo, "tag", "-d", "v1")
        git(repo, "branch", "-D", "old")
        set_refs(repo, {b"refs/heads/main": tip})
    git(served / "stranger.git", "branch", "template", first)
    add_commits(served / "stranger.git", 2, label="stranger")


@pytest.fixture(scope="module")
def story(make_archive: MakeArchive, served: Path, daemon: Peer, web: Peer) -> Story:
    build(served)
    urls = {"parent": daemon.url("parent.git")} | {name: web.url(f"{name}.git") for name in (*COPIES, STRANGER)}
    archive = make_archive("undeclared", fetch={"newcomers": ASKED})
    archive.add(urls["parent"])
    archive.nightly(1)
    archive.add(*(urls[name] for name in (*COPIES, STRANGER)))

    def killed(*_: object) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newcomers, "_with_moved", killed)
        archive.nightly(2, code=5)
    assert archive.nightly(2)["failed"] == []
    query = "SELECT origin, status, objects, pack_bytes, network FROM visits WHERE night = DATE '2026-11-02'"
    visits = {row["origin"]: row for row in archive.sql(query)}
    origins = archive.sql("SELECT url, bucket, network, fork_of FROM origins")
    assert len(origins) == len(urls), "no origin is there twice"
    return Story(archive, served, urls, {row["url"]: row for row in origins}, visits)


def test_copies_are_in_the_network_of_their_parent_and_a_stranger_is_not(story: Story) -> None:
    urls = story.urls
    parent = story.origins[urls["parent"]]
    assert (parent["network"], parent["fork_of"]) == (network_id(urls["parent"]), None)
    for name in COPIES:
        assert story.origins[urls[name]] == parent | {"url": urls[name], "fork_of": urls["parent"]}
    found = story.origins[urls[STRANGER]]
    assert (found["network"], found["fork_of"]) == (network_id(urls[STRANGER]), None)


def test_both_attempts_tell_by_what_they_found_forks(story: Story) -> None:
    found = json.loads(story.archive.storage.read(Load.of_night(night(2)).found))
    by = {each["origin"]: (each["url"], each["by"]) for each in found}
    assert by == {
        story.urls["copy"]: (story.urls["parent"], "annotated_tag"),
        story.urls["mirror"]: (story.urls["parent"], "annotated_tag"),
        story.urls["behind"]: (story.urls["parent"], "head"),
    }


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_sends_its_own_objects_alone(story: Story, name: str) -> None:
    own = reachable(story.repos / f"{name}.git") - reachable(story.repos / "parent.git")
    visit = story.visits[story.urls[name]]
    assert (visit["status"], visit["objects"]) == ("full", len(own))
    assert bool(visit["pack_bytes"]) == bool(own) == (name == "copy")
    assert visit["network"] == story.origins[story.urls["parent"]]["network"]


@pytest.mark.parametrize("name", ["parent", *COPIES, STRANGER])
def test_all_are_restored_exactly(story: Story, name: str, tmp_path: Path) -> None:
    restored = story.archive.restore(story.urls[name], tmp_path / "restored.git")
    assert compare(story.repos / f"{name}.git", restored) == []
