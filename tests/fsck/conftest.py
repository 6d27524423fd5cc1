"""An archive of three nights for all tests here, made with git daemon, Luigi and Spark."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.origin import Origin
from tests.e2e.archive import Archive, Place
from tests.support.git import put, put_commit, put_tag, put_tree, resolve, set_refs
from tests.support.repos import add_commits, build_graph, compare, fork_of
from tests.support.servers import Peer, git_daemon
from tests.support.spark import forget_tables

ODD = "it's odd, 100%25 (#1 + more)"
"""The archive's folder: paths in errors must be parsed wherever the files are."""


@dataclass(frozen=True)
class Story:
    """The archive, the server of its origins, and its files after the last night."""

    archive: Archive
    daemon: Peer
    repositories: tuple[Path, ...]
    pristine: Path

    @property
    def root(self) -> Path:
        return Path(self.archive.location)

    def put_back(self) -> None:
        """Restore everything as the last night left it, including modification times."""
        shutil.rmtree(self.root)
        shutil.copytree(self.pristine, self.root)
        forget_tables(self.archive.spark)

    def restore(self, name: str, day: int, to: Path) -> Path:
        """Restore a repository as of a night; the third lacks a blob over the limit, which ``restore`` reports."""
        partial = name == self.repositories[2].name
        return self.archive.restore(self.daemon.url(name), to, day=day, code=1 if partial else 0)

    def differences(self, name: str, old: Path, new: Path) -> list[str]:
        """Git's differences between two restored repositories; it cannot walk to the blob over the limit."""
        partial = name == self.repositories[2].name
        return compare(old, new, namespaces=("refs/heads/main", "refs/tags/") if partial else ("refs/",))

    def files(self, pattern: str) -> list[Path]:
        found = sorted(path for path in self.root.glob(pattern) if path.is_file())
        assert found, pattern
        return found


@pytest.fixture(scope="package")
def story(tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("fsck")
    served = folder / "served"
    served.mkdir()
    with git_daemon(served) as daemon:
        place = Place("local", str(folder))
        settings: dict[str, dict[str, Any]] = {
            "nightly": {"jobs": ["language_census"]},
            "fetch__limits": {"blob_bytes": 100_000},
        }
        archive = Archive.at(place, folder / "conf", ODD, **settings)
        archive.init()
        a, b, c = (served / name_in(daemon, bucket) for bucket in (0, 1, 3))
        for repo in (a, b, c):
            build_graph(repo, [[1], [2, 1], [3, 1, 2]])
        add_commits(b, 5)
        tagged = put_tag(b, resolve(b, "refs/heads/main"), "commit", "v1")
        big = put(c, "blob", b"too large" * 20_000)
        set_refs(b, {b"refs/tags/v1": tagged})
        set_refs(c, {b"refs/heads/big": put_commit(c, put_tree(c, ("100644", "big", big)))})
        fork = fork_of(a, served / "fork.git")
        archive.add(*(daemon.url(repo.name) for repo in (a, b, c)), (daemon.url(fork.name), daemon.url(a.name)))
        archive.nightly(2)
        add_commits(a, 2)
        add_commits(b, 2, branch="topic", label="topic")
        archive.nightly(3)
        add_commits(c, 1)
        archive.nightly(4)
        shutil.copytree(archive.location, folder / "pristine")
        yield Story(archive, daemon, (a, b, c, fork), folder / "pristine")


def name_in(daemon: Peer, bucket: int) -> str:
    """A repository's name that leads to one of the four buckets, whatever the server's port."""
    names = (f"r{bucket}-{number}.git" for number in itertools.count())
    return next(name for name in names if Origin(daemon.url(name)).network % 4 == bucket)


Restored = dict[tuple[str, int], Path]
"""Repositories by name and night."""

NIGHTS = (2, 3, 4)


@pytest.fixture(scope="package")
def before(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """Every repository as of every night, restored from the undamaged archive."""
    folder = tmp_path_factory.mktemp("before")
    return {
        (repo.name, day): story.restore(repo.name, day, folder / f"{repo.name}-{day}")
        for repo in story.repositories
        for day in NIGHTS
    }


@pytest.fixture
def intact(story: Story) -> Iterator[Story]:
    """The story, restored after each test."""
    yield story
    story.put_back()
