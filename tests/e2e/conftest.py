"""Archives on each storage, and git servers for all tests here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.archive import Archive, Place
from tests.support.hdfs import MiniHdfs
from tests.support.sample import chosen
from tests.support.servers import Peer, git_daemon, http_backend

MakeArchive = Callable[..., Archive]
HERE = Path(__file__).parent


ON_BOTH = ("bad_input", "commands", "doctor", "exactness", "increments", "interrupted", "programs", "writers")
"""Files that run on this machine or on HDFS: one of them a day on HDFS, the others here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    today = {f"test_{name}.py" for name in chosen(ON_BOTH)}
    for item in items:
        if item.path.parent == HERE and "place" in getattr(item, "fixturenames", ()):
            on_hdfs = item.get_closest_marker("hdfs") is not None
            if on_hdfs != (item.path.name in today):
                item.add_marker(pytest.mark.long)


@pytest.fixture(scope="module", params=["local", pytest.param("hdfs", marks=pytest.mark.hdfs)])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Iterator[Place]:
    """A folder for archives, on this machine or on HDFS."""
    if request.param == "local":
        yield Place("local", str(tmp_path_factory.mktemp("archives")))
        return
    cluster: MiniHdfs = request.getfixturevalue("hdfs")
    yield Place("hdfs", f"{cluster.hdfs_uri}/e2e-{uuid.uuid4().hex}", {"webhdfs_urls": [cluster.webhdfs_url]})


@pytest.fixture(scope="module")
def make_archive(place: Place, tmp_path_factory: pytest.TempPathFactory) -> MakeArchive:
    """Makes an initialised archive with its own configuration."""

    def make(name: str, **sections: dict[str, Any]) -> Archive:
        archive = Archive.at(place, tmp_path_factory.mktemp(name), name, **sections)
        archive.init()
        return archive

    return make


@pytest.fixture(scope="module")
def served(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``daemon`` and ``web`` serve; one per storage, as tests change its contents."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def daemon(served: Path) -> Iterator[Peer]:
    with git_daemon(served) as server:
        yield server


@pytest.fixture(scope="module")
def web(served: Path) -> Iterator[Peer]:
    with http_backend(served) as server:
        yield server
