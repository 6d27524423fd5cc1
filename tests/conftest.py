"""What every test gets: repeatable property tests, and a git that knows nothing of this machine or its user.

``HYPOTHESIS_PROFILE=deep`` searches longer, with a new seed each time. ``TESTS_DAY=2026-11-24`` does of long
matrices what that day does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.support.hdfs import hdfs
from tests.support.own_logging import own_logging
from tests.support.repos import GIT_ENVIRONMENT
from tests.support.sample import one_file, one_test, take_turns
from tests.support.spark import one_spark
from tests.support.tables import empty, session, spark, spark_root, storage

__all__ = ["empty", "hdfs", "one_spark", "session", "spark", "spark_root", "storage"]

settings.register_profile("default", derandomize=True, deadline=None, database=None, max_examples=200)
settings.register_profile(
    "deep", deadline=None, database=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

os.environ.setdefault("TESTS_DAY", str(date.today()))  # all processes of a run have the day on which it began

# Otherwise examples are also drawn from constants of whatever earlier tests have imported.
providers._get_local_constants = lambda: providers._local_constants

HERE = Path(__file__).parent
SLOWEST = (
    "crash", "workflows", "scaling", "bench", "masters", "e2e", "takedown", "fsck", "night", "tables", "maintain",
    "hostile", "storage", "origins", "read",
)  # fmt: skip

SHARED = ("crash", "fsck")
"""Folders whose files share an archive, which is made once if one process runs them all."""

HALVED = {
    "e2e": one_file,
    "fsck": one_test,
    "maintain": one_test,
    "night": one_test,
    "read": one_file,
    "tables": one_test,
}
"""Folders of whose slow tests a day runs half, and what they are halved by."""

APART = ("workflows", "hostile")
"""Folders whose tests share nothing: they take long, and may run in several processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Spark. Of several processes none shall wait for another's last file: slow folders begin first."""
    for item in items:
        if "one_spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
    for folder, turn in HALVED.items():
        take_turns(items, HERE / folder, turn=turn)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> int:
    folder = _folder(nodeid)
    return SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)


def _folder(nodeid: str) -> str:
    """The folder below ``tests`` that a test, named as from the project's root, lies in; its file if in none."""
    return nodeid.partition("::")[0].split("/")[1]


def unit_of(nodeid: str) -> str:
    """What one process runs: a file, all files of a folder that share its archive, or a test with all its variants."""
    folder = _folder(nodeid)
    if folder in SHARED:
        return folder
    return nodeid.partition("[" if folder in APART else "::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Give each process a unit at a time. (The groups of pytest-xdist 3.8 have no effect with pytest 9.2.)"""

    class ByUnit(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return ByUnit(config, log)


@pytest.fixture(scope="session", autouse=True)
def hermetic_git() -> Iterator[None]:
    """No configuration of user or system, a fixed identity, and no prompt, for every git that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        for name, value in GIT_ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def logging_of_each_test() -> Iterator[None]:
    """No test sees what a command in another one made of the root logger: its level, and a handler for its output."""
    with own_logging():
        yield
