"""A short soak: six nights with events, a night that is killed, and housekeeping."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.archive import Place
from tests.soak.run import soaking

pytestmark = pytest.mark.long


def test_a_short_soak(tmp_path: Path, one_spark: None) -> None:
    with soaking(Place("local", str(tmp_path / "archives")), tmp_path / "soak", seed=7) as soak:
        soak.run(6)
        print(soak.report())
        assert soak.figures["nights"] == 6
