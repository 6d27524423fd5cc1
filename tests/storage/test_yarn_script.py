"""The command that starts YARN for tests and experiments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hdfs import SCRIPTS
from tests.support.yarn import MiniYarn, yarn

__all__ = ["yarn"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "one_node_yarn.py"), *arguments],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


@pytest.mark.hdfs
@pytest.mark.slow
def test_starting_twice_changes_nothing_and_a_restart_keeps_addresses(yarn: MiniYarn) -> None:
    folder = str(yarn.folder / "yarn")
    before = json.loads(run("status", "--dir", folder, "--json").stdout)
    assert before["running"] == {"resourcemanager": True, "nodemanager": True}
    again = run("start", "--dir", folder, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == before
    assert run("stop", "--dir", folder, "--only", "nodemanager").returncode == 0
    assert run("status", "--dir", folder).returncode == 3
    restarted = json.loads(run("start", "--dir", folder, "--json").stdout)
    assert restarted["ports"] == before["ports"]
    assert restarted["pids"]["resourcemanager"] == before["pids"]["resourcemanager"]


def test_status_of_nothing_starts_nothing(tmp_path: Path) -> None:
    status = run("status", "--dir", str(tmp_path / "none"), "--hdfs", str(tmp_path / "hdfs"), "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)["running"] == {"resourcemanager": False, "nodemanager": False}
    assert not (tmp_path / "hdfs").exists()
