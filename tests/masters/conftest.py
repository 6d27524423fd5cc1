"""An archive with one night on the HDFS of a real YARN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.archive import Archive, Place
from tests.support.repos import build_graph
from tests.support.sample import take_turns
from tests.support.servers import git_daemon
from tests.support.yarn import MiniYarn, yarn

__all__ = ["yarn"]

HERE = Path(__file__).parent

A_DAY = 2
"""Slow tests here that a day runs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    take_turns(items, HERE, A_DAY)


@pytest.fixture(scope="module")
def archive(yarn: MiniYarn, one_spark: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive on HDFS with a night of one repository, made by Spark in this process."""
    served = tmp_path_factory.mktemp("served")
    build_graph(served / "a.git", [[1], [2, 1], [3, 2]])
    place = Place("yarn", yarn.hdfs_uri, {"webhdfs_urls": [yarn.webhdfs_url]})
    with git_daemon(served) as server:
        made = Archive.at(place, tmp_path_factory.mktemp("archive"), "archive", archive={"buckets": 2})
        made.init()
        made.add(server.url("a.git"))
        made.nightly(1)
        yield made


def said_by(archive: Archive, *arguments: str | Path, code: int, limit_s: float = 500) -> tuple[str, str]:
    """What a command says as a program, to standard output and standard error."""
    with archive.start(*arguments) as process:
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        finally:
            process.kill()
    assert process.returncode == code, f"ended with {process.returncode}\n{stdout}\n{stderr}"
    return stdout, stderr
