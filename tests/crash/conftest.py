"""One archive on HDFS, which all tests here reset to its first night, and its expected second night."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.trial import Origins, Rows, Trial
from tests.e2e.archive import Place
from tests.support.hdfs import MiniHdfs
from tests.support.sample import take_turns
from tests.support.servers import http_backend

OUTAGES = Path(__file__).with_name("test_outages.py")
A_DAY = 1
"""Outages that a day runs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    take_turns(items, OUTAGES, A_DAY)


class Hook:
    """Does something once, just before a server's next pack."""

    def __init__(self) -> None:
        self.act: Callable[[], None] | None = None
        self._once = threading.Lock()

    def __call__(self, data: bytes) -> bytes:
        if b"packfile\n" in data:
            with self._once:
                act, self.act = self.act, None
            if act is not None:
                act()
        return data


@dataclass
class Nights:
    """The archive, its origins on the second day, and its state after an undisturbed second night."""

    trial: Trial
    origins: Origins
    before_pack: Hook
    second: Rows
    census: list[str]

    def check(self) -> None:
        """The second night is complete, equal to the undisturbed one, and nothing is left of other attempts.

        Rows are compared with their counts, so a doubled object would be found, too.
        """
        assert self.trial.not_finished(1, 2) == []
        assert not self.trial.caches_frames()
        assert self.trial.left_behind() == []
        assert self.trial.results(2) == self.census
        assert self.trial.rows(2) == self.second

    def check_restore(self) -> None:
        """C git finds no difference in a restored repository."""
        assert self.trial.restored_differs(self.origins.urls["fork"], self.origins.repo("fork")) == []


@pytest.fixture(scope="package")
def place(hdfs: MiniHdfs, one_spark: None) -> Place:
    """A folder for archives on HDFS."""
    return Place("hdfs", f"{hdfs.hdfs_uri}/crash-{uuid.uuid4().hex}", {"webhdfs_urls": [hdfs.webhdfs_url]})


@pytest.fixture(scope="package")
def nights(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    served = tmp_path_factory.mktemp("served")
    before_pack = Hook()
    with http_backend(served, alter=lambda: before_pack) as server:
        origins = Origins(served, server)
        origins.first_day()
        trial = Trial(place, tmp_path_factory.mktemp("trial"))
        archive = trial.archive
        archive.init()
        archive.spark.catalog.clearCache()  # of other rooms
        archive.add(*origins.listed)
        archive.nightly(1)
        trial.save("first")
        origins.second_day()
        summary = archive.nightly(2)
        assert summary["origins"] == {"full": 3, "not_found": 1, "unchanged": 1}
        trial.save("second")
        assert trial.doubles(2) == {}
        try:
            yield Nights(trial, origins, before_pack, trial.rows(2), trial.results(2))
        finally:
            trial.close()
