"""Archives on each storage, and git servers for all tests here. One Spark serves them all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.archive import Archive, Place
from tests.support.hdfs import MiniHdfs, hdfs
from tests.support.sample import chosen
from tests.support.servers import Peer, git_daemon, http_backend
from tests.support.spark import own_spark

__all__ = ["hdfs"]

MakeArchive = Callable[..., Archive]
HERE = Path(__file__).parent


QUICKEST, FULLEST = "test_exactness.py", "test_increments.py"
"""The first is on HDFS each time, the second with all slow tests, and of the others each has its day for that."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    others = sorted({path.name for path in HERE.glob("test_*.py")} - {QUICKEST, FULLEST})
    today = {QUICKEST, FULLEST} | chosen(others, -(-len(others) // 3))
    for item in items:
        if "place" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
            if item.get_closest_marker("hdfs") and item.path.name != QUICKEST:
                item.add_marker(pytest.mark.slow)
                if item.path.parent == HERE and item.path.name not in today:
                    item.add_marker(pytest.mark.long)


@pytest.fixture(scope="package")
def one_spark() -> Iterator[None]:
    with own_spark():
        yield


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
