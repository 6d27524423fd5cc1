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

from tests.support.repos import GIT_ENVIRONMENT

settings.register_profile("default", derandomize=True, deadline=None, database=None, max_examples=200)
settings.register_profile(
    "deep", deadline=None, database=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

os.environ.setdefault("TESTS_DAY", str(date.today()))  # all processes of a run have the day on which it began


SLOWEST = (
    "crash",
    "workflows",
    "e2e",
    "masters",
    "bench",
    "takedown",
    "fsck",
    "tables",
    "maintain",
    "hostile",
    "storage",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes none shall wait for another's last file: folders that take minutes begin first."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _turn(item.path.relative_to(Path(__file__).parent).parts[0]))


def _turn(folder: str) -> int:
    return SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)


@pytest.fixture(scope="session", autouse=True)
def hermetic_git() -> Iterator[None]:
    """No configuration of user or system, a fixed identity, and no prompt, for every git that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        for name, value in GIT_ENVIRONMENT.items():
            patch.setenv(name, value)
        yield
