"""Nights with damage for which no origin is to blame: the night continues, and later nights repair it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pipeline.workflows.night
from pipeline.model.layout import Load
from pipeline.model.origin import bucket_of, network_id
from pipeline.storage.interface import Storage
from tests.e2e.archive import Archive, Place
from tests.support.repos import add_commits, build_graph, compare
from tests.support.servers import git_daemon

BUCKETS = 4


@dataclass
class Two:
    """An archive with two origins in separate buckets, and their repositories."""

    archive: Archive
    repos: dict[str, Path]
    urls: dict[str, str]

    def exact(self, name: str, to: Path) -> bool:
        return compare(self.repos[name], self.archive.restore(self.urls[name], to / f"{name}.git")) == []

    def bucket(self, name: str) -> int:
        return bucket_of(network_id(self.urls[name]), BUCKETS)


@pytest.fixture
def two(one_spark: None, tmp_path: Path) -> Any:
    archive = Archive.at(Place("local", str(tmp_path)), tmp_path / "own", "archive", archive={"buckets": BUCKETS})
    archive.init()
    served = tmp_path / "served"
    served.mkdir()
    with git_daemon(served) as daemon:
        two = Two(archive, {}, {})
        for name, bucket in (("sick", 1), ("well", 2)):
            numbered = (f"{name}-{number}.git" for number in range(1000))
            path = next(p for p in numbered if bucket_of(network_id(daemon.url(p)), BUCKETS) == bucket)
            two.urls[name], two.repos[name] = daemon.url(path), served / path
            build_graph(served / path, [[1], [2, 1], [3, 1, 2]])
            add_commits(served / path, 2, label=name)
        archive.add(*two.urls.values())
        yield two


def zero(storage: Storage, path: str) -> bytes:
    """Overwrite the middle of a file; return its former content."""
    whole = storage.read(path)
    storage.replace(path, whole[:100] + bytes(len(whole) - 200) + whole[-100:])
    return whole


def before(name: str, harm: Callable[[Storage, Load], object], patch: pytest.MonkeyPatch) -> None:
    """Do harm once, right before a step of the night that takes storage and load."""
    real = getattr(pipeline.workflows.night, name)
    left = [harm]

    def harmed(*arguments: Any, **options: Any) -> Any:
        storage = next(argument for argument in arguments if isinstance(argument, Storage))
        load = next(argument for argument in arguments if isinstance(argument, Load))
        if left:
            left.pop()(storage, load)
        return real(*arguments, **options)

    patch.setattr(pipeline.workflows.night, name, harmed)


@pytest.mark.slow
@pytest.mark.spark
def test_a_damaged_landing_costs_its_bucket_one_night(
    two: Two, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive, sick = two.archive, two.urls["sick"]

    with monkeypatch.context() as patch:  # a landed file is damaged before it is published

        def flip_landed(storage: Storage, load: Load) -> None:
            (path,) = [e.path for e in storage.walk(f"{load.root}/landing/bucket=1") if "/commits" in e.path]
            zero(storage, path)

        before("publish", flip_landed, patch)
        summary = archive.nightly(1, code=1)
    assert summary["origins"] == {"failed": 1, "full": 1}
    assert [(f["origin"], f["error"]) for f in summary["failed"]] == [(sick, "audit")]
    assert archive.status()["last_visits"] == {"failed": 1, "full": 1}
    assert archive.sql(f"SELECT * FROM refs WHERE origin = '{sick}'") == []
    assert two.exact("well", tmp_path / "1")
