"""Runs that are killed at one point after the other, process group and all, on HDFS.

However a night dies, one more run of it makes the archive equal, row for row, to one whose night was never killed.
"""

from __future__ import annotations

import pytest

from tests.crash.conftest import Nights
from tests.crash.points import NIGHTLY
from tests.e2e.archive import night

pytestmark = [pytest.mark.slow, pytest.mark.hdfs, pytest.mark.spark]


@pytest.mark.parametrize("point", NIGHTLY)
def test_a_killed_night_is_completed_by_the_next_run(nights: Nights, point: str) -> None:
    trial = nights.trial
    trial.back_to("first")
    trial.kill(point, "nightly", "--night", str(night(2)), today=night(2))
    assert trial.archive.nightly(2)["already"] is False
    nights.check()
