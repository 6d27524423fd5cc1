"""``scripts/bench`` from end to end on very little data; nothing here checks speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.targets import TARGETS
from tests.support.git import run_git
from tests.support.measured import bench_parts
from tests.support.repos import add_commits, build_graph
from tests.support.spark import JAVA_OPTIONS

ROOT = Path(__file__).parents[2]
SIZES = {"repeat": 1, "big-mb": 1, "pages-mb": 1, "memory-mb": 1, "head-mb": 1, "origins": 3, "forks": 20}
LITTLE = tuple(word for name, value in SIZES.items() for word in (f"--{name}", str(value)))
LIMIT_S = 1200
"""Time for a dozen Spark sessions, one after the other, on a busy machine."""


def bench(*words: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}",
        "XDG_CACHE_HOME": str(cache),
        "PIP_NO_INDEX": "1",
        "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
    }
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bare repository and a bundle."""
    folder = tmp_path / "repositories"
    build_graph(folder / "one.git", [[1], [2, 1], [3, 1, 2]])
    add_commits(folder / "one.git", 20)
    build_graph(tmp_path / "two.git", [[1], [2, 1]])
    made = run_git("-C", tmp_path / "two.git", "bundle", "create", folder / "two.bundle", "HEAD", "--all")
    assert made.returncode == 0, made.stderr
    return folder


def figures(folder: Path, tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    where = ("--json", tmp_path / "found.json", "--docs", tmp_path / "FOUND.md", "--work", tmp_path)
    done = bench(folder, *LITTLE, *words, *where, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert "Targets" in done.stdout
    assert not list(tmp_path.glob("bench-*"))
    parts = json.loads((tmp_path / "found.json").read_text())
    found = [figure for part in parts.values() for figure in part["found"]["figures"]]
    assert all((figure["value"] > 0) is (figure["target"] != "unchanged-pack") for figure in found)
    return found


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("part", bench_parts())
def test_a_part_alone(folder: Path, tmp_path: Path, part: str) -> None:
    assert {figure["target"] for figure in figures(folder, tmp_path, "--only", part)} <= TARGETS.keys()


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.timeout(LIMIT_S + 60)
def test_every_target_gets_a_figure(folder: Path, tmp_path: Path) -> None:
    found = figures(folder, tmp_path)
    without_loader = TARGETS.keys() - {"fetch-swh"}
    assert {figure["target"] for figure in found} == without_loader
    assert {figure["of"] for figure in found if figure["target"] == "stored"} == {"one", "two", "big", "pages"}
    assert [figure["value"] for figure in found if figure["target"] == "unchanged-pack"] == [0]
    text = (tmp_path / "FOUND.md").read_text()
    assert "swh-loader-git does not run here" in text
    assert "not measured" in text


def test_wrong_usage(tmp_path: Path) -> None:
    done = bench("--only", "fetch,speed", cache=tmp_path)
    assert done.returncode == 2
    assert "no such part: speed; known parts: fetch, store" in done.stderr
    where = ("--json", tmp_path / "found.json", "--docs", tmp_path / "FOUND.md")
    done = bench(tmp_path, "--only", "fetch", *where, cache=tmp_path)
    assert done.returncode == 1
    assert "has neither *.bundle nor bare repositories" in done.stderr
