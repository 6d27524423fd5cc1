"""Archives on this machine or on HDFS, small repositories, and a git daemon that serves them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline.workflows  # noqa: F401 - imports Luigi without its warning, before any test does
from pipeline.model.origin import Origin, bucket_of
from tests.e2e.archive import Archive, Place
from tests.support.hdfs import MiniHdfs
from tests.support.sample import take_turns
from tests.support.servers import Peer, git_daemon

MakeArchive = Callable[..., Archive]
HERE = Path(__file__).parent

A_DAY = 3
"""Slow tests here that a day runs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    take_turns(items, HERE, A_DAY)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder for archives; on HDFS for tests that are marked hdfs."""
    if request.node.get_closest_marker("hdfs") is None:
        return Place("local", str(tmp_path))
    cluster: MiniHdfs = request.getfixturevalue("hdfs")
    return Place("hdfs", f"{cluster.hdfs_uri}/workflows-{uuid.uuid4().hex}", {"webhdfs_urls": [cluster.webhdfs_url]})


@pytest.fixture
def make_archive(place: Place, tmp_path: Path, one_spark: None) -> MakeArchive:
    """Makes an initialised archive; sections are as in ``Archive.at``."""

    def make(name: str, **sections: dict[str, Any]) -> Archive:
        archive = Archive.at(place, tmp_path / f"of-{name}", name, **sections)
        archive.init()
        return archive

    return make


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def daemon(served: Path) -> Iterator[Peer]:
    with git_daemon(served) as server:
        yield server


def spread(peer: Peer, repos: list[Path], buckets: int, each: int = 1) -> list[str]:
    """URLs of this many of the repositories per bucket."""
    chosen: dict[int, list[str]] = {bucket: [] for bucket in range(buckets)}
    for repo in repos:
        url = peer.url(repo.name)
        chosen[bucket_of(Origin(url).network, buckets)].append(url)
    assert all(len(urls) >= each for urls in chosen.values()), "more repositories are needed"
    return [url for urls in chosen.values() for url in urls[:each]]
