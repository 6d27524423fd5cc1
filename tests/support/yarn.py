"""A real one-node YARN for tests, with its own HDFS, started by ``scripts/yarn`` on free ports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


class MiniYarn:
    """A cluster in a folder; ``conf`` is Hadoop's configuration for clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = self._run("yarn", "start", "--hdfs", str(folder / "hdfs"))
        self.webhdfs_url: str = state["webhdfs_url"]
        self.hdfs_uri: str = state["hdfs_uri"]
        self.url: str = state["resourcemanager_url"]
        self.conf = Path(state["hadoop_conf_dir"])

    def wipe(self) -> None:
        """Stops all daemons and containers, and deletes their files."""
        self._run("yarn", "wipe")
        self._run("hdfs", "wipe")

    def _run(self, script: str, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, str(SCRIPTS / f"one_node_{script}.py"), *arguments]
        done = subprocess.run(
            [*command, "--dir", str(self.folder / script), "--json"],
            capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniYarn]:
    """One cluster for the whole run."""
    cluster = MiniYarn(tmp_path_factory.mktemp("yarn") / "cluster")
    yield cluster
    cluster.wipe()
