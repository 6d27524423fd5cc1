"""What every test gets: repeatable property tests, and a git that knows nothing of this machine or its user.

``HYPOTHESIS_PROFILE=deep`` searches longer, with a new seed each time. ``TESTS_DAY=2026-11-24`` does of long
matrices what that day does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, settings

from tests.support.hdfs import hdfs
from tests.support.repos import GIT_ENVIRONMENT
from tests.support.spark import one_spark
from tests.support.tables import empty, session, spark, spark_root, storage

__all__ = ["empty", "hdfs", "one_spark", "session", "spark", "spark_root", "storage"]

settings.register_profile("default", derandomize=True, deadline=None, database=None, max_examples=200)
settings.register_profile(
    "deep", deadline=None, database=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

os.environ.setdefault("TESTS_DAY", str(date.today()))  # all processes of a run have the day on which it began

HERE = Path(__file__).parent
SLOWEST = (
    "crash", "workflows", "e2e", "masters", "bench", "takedown", "fsck", "night", "tables", "maintain", "hostile",
    "storage", "origins", "read",
)  # fmt: skip

SHARED = MappingProxyType({"crash": "nights", "fsck": "story", "tables": "landed"})
"""Folders with an archive for several files: the fixture that makes it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Spark. Of several processes each takes a file at a time, those that share an archive together.

    None shall wait for another's last file: folders that take minutes begin first.
    """
    for item in items:
        if "one_spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
    if "PYTEST_XDIST_WORKER" in os.environ:
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        items.sort(key=lambda item: _turn(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def _turn(folder: str) -> int:
    return SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)


def _group(item: pytest.Item) -> str:
    """What one process runs: a file, or all tests of a folder that share its archive."""
    folder = _folder(item)
    if SHARED.get(folder) in getattr(item, "fixturenames", ()):
        return folder
    return item.path.relative_to(HERE).as_posix()


@pytest.fixture(scope="session", autouse=True)
def hermetic_git() -> Iterator[None]:
    """No configuration of user or system, a fixed identity, and no prompt, for every git that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        for name, value in GIT_ENVIRONMENT.items():
            patch.setenv(name, value)
        yield
