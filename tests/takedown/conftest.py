"""Real nights of a few repositories, including forks, from a git daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.archive import Archive, Place
from tests.support.servers import Peer, git_daemon


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Place:
    return Place("local", str(tmp_path_factory.mktemp("archives")))


@pytest.fixture(scope="module")
def make_archive(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Archive]:
    def make(name: str) -> Archive:
        archive = Archive.at(place, tmp_path_factory.mktemp(name), name, maintain={"snapshot_age_s": 3600})
        archive.init()
        return archive

    return make


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def daemon(served: Path, place: Place) -> Iterator[Peer]:
    with git_daemon(served) as server:
        yield server
