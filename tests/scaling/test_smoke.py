"""``scripts/scale`` from end to end on very little data; nothing here checks speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.measured import scale_parts
from tests.support.spark import JAVA_OPTIONS

ROOT = Path(__file__).parents[2]
LIMIT_S = 1200
PARTS = {
    "dense": ("--networks", "5"),
    "growth": ("--origins", "6", "--changed", "2"),
    "nights": ("--origins", "10", "--after", "2"),
    "visits": ("--visits", "6"),
    "skew": ("--files", "120", "--forks", "4"),
}


def scale(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}",
        "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
    }
    return subprocess.run(
        [sys.executable, "-m", "scaling", *words],
        capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment,
    )  # fmt: skip


def steps(tmp_path: Path, part: str) -> list[dict[str, Any]]:
    done = scale("--work", tmp_path, "--json", tmp_path / "found.json", part, *PARTS[part])
    assert done.returncode == 0, done.stderr
    assert "CPU-s by stage" in done.stdout
    assert not list(tmp_path.glob("scale-*")), "its scratch is gone"
    (found,) = json.loads((tmp_path / "found.json").read_text())["steps"].values()
    assert all(step["cpu_s"] > 0 and step["peak_bytes"]["leader"] > 0 for step in found)
    return found


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("part", scale_parts())
def test_a_part(tmp_path: Path, part: str) -> None:
    """Each checks what it has restored or visited; here only that what it counts is counted."""
    found = steps(tmp_path, part)
    nights = [step for step in found if step["cpu_by_stage"]]
    assert any("fetch task" in night["peak_bytes"] for night in nights)
    assert len(nights) == {"dense": 2, "growth": 3, "nights": 2, "visits": 2, "skew": 2}[part]
    for night in nights[1:]:
        assert {"plan", "fetch", "publish", "derive", "seal"} <= night["cpu_by_stage"].keys()
        assert night["cpu_s"] > night["fetch_cpu_s"] > 0
        assert night["peak_bytes"].keys() >= {"leader", "JVM"}, "a task or a worker may end between two samples"
        visited = {"dense": 10, "growth": 6, "nights": 10, "visits": 6, "skew": 5}[part]
        assert night["written"]["visits"]["rows"] in (visited, 2)
        assert night["written"]["commits"]["rows"] in (1, 2)


def test_wrong_usage() -> None:
    done = scale("growth", "--origins", "5", "--changed", "9")
    assert done.returncode == 2
    assert "an archive of 5 origins cannot have 9 changed ones" in done.stderr
    done = scale("nights", "--after", "ten")
    assert done.returncode == 2
    assert "whole numbers" in done.stderr
