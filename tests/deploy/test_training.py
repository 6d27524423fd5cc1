"""The chart's training reads an export, and goes on from its checkpoint. Needs the extra ``training``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import CHART, ROOT
from tests.export.made_set import made_set

ROWS = 3 * 2 * 5


def trained(folder: Path, output: Path, *words: str) -> dict[str, Any]:
    """The last line that the script prints."""
    command = [sys.executable, str(CHART / "files" / "train.py"), str(folder), "--output", str(output), *words]
    done = subprocess.run(
        [*command, "--batch=5", "--size=8", "--workers=0"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    for module in ("torch", "torchdata"):
        pytest.importorskip(module, reason="needs the extra training")
    folder, output = made_set(tmp_path / "set", shards=3, groups=2, rows=5), tmp_path / "output"
    output.mkdir()
    first = trained(folder, output, "--epochs=1")
    assert first["batches"] == ROWS / 5
    second = trained(folder, output, "--epochs=3")
    assert second["batches"] == 3 * ROWS / 5
    assert second["bytes"] == 2 * first["bytes"], "the first epoch is not trained again"
