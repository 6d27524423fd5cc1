"""A real HDFS for tests, started by ``scripts/hdfs`` on free ports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
LIMIT_S = 1800
Daemon = Literal["namenode", "datanode", "datanode-2", "datanode-3"]


def one_node(daemons: Literal["hdfs", "yarn"], folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the script that keeps these daemons in a folder; return the state that it reports."""
    command = [sys.executable, str(SCRIPTS / f"one_node_{daemons}.py"), *arguments, "--dir", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class MiniHdfs:
    """A cluster in a folder; ``webhdfs_url`` is for HdfsCLI, ``hdfs_uri`` for Spark."""

    def __init__(self, folder: Path, datanodes: int = 1, host: str = "127.0.0.1", *, kerberos: bool = False) -> None:
        self.folder = folder
        more = ["--kerberos"] if kerberos else []
        state = self._run("start", "--datanodes", str(datanodes), "--host", host, *more)
        self.webhdfs_url: str = state["webhdfs_url"]
        self.hdfs_uri: str = state["hdfs_uri"]

    def start(self, only: Daemon) -> None:
        """Starts one daemon and waits until it answers."""
        self._run("start", "--only", only)

    def kill(self, only: Daemon) -> None:
        """Kills one daemon, as in a crash."""
        self._run("stop", "--only", only, "--kill")

    def pid(self, of: Daemon) -> int:
        """The process of a running daemon."""
        return int(self._state["pids"][of])

    def port(self, of: Daemon, use: str) -> int:
        """A port of a daemon: data, http or ipc of a DataNode, rpc or http of the NameNode."""
        return int(self._state["ports"][f"{of}_{use}"])

    def log(self, of: Daemon) -> Path:
        """What a daemon says."""
        return self.folder / "logs" / f"{of}.log"

    def wipe(self) -> None:
        """Stops all daemons and deletes their files."""
        self._run("wipe")

    @property
    def _state(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    def _run(self, *arguments: str) -> dict[str, Any]:
        return one_node("hdfs", self.folder, *arguments)


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniHdfs]:
    """One cluster for the whole run; give each test its own folder."""
    cluster = MiniHdfs(tmp_path_factory.mktemp("hdfs") / "cluster")
    yield cluster
    cluster.wipe()
