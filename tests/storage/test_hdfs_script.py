"""The command that starts HDFS for tests and experiments."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

import hadoop_daemons
from hadoop_daemons import Daemons, words_of
from pipeline.storage.factory import open_storage
from pipeline.storage.settings import HdfsSettings
from tests.support.hdfs import SCRIPTS, MiniHdfs


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "one_node_hdfs.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.hdfs
def test_starting_twice_changes_nothing(hdfs: MiniHdfs) -> None:
    before = json.loads(run("status", "--dir", str(hdfs.folder), "--json").stdout)
    assert before["running"] == {"namenode": True, "datanode": True}
    again = run("start", "--dir", str(hdfs.folder), "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == before


class Idle(Daemons):
    """One process that waits; it counts as started once it is alive."""

    kind = "idle"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.classes = {"idle": "idle.Main"}

    def configure(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.state = {"pids": {}}
        (self.root / "logs").mkdir(parents=True)

    def command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(600)", self.mark, self.classes[name]]

    def checks(self, started: Mapping[str, subprocess.Popen[bytes]]) -> list[Callable[[], bool]]:
        self.processes += started.values()
        assert all(self.alive(name) for name in started)
        return []


def test_a_daemon_is_looked_at_once_its_command_line_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DataNode that was started in this moment was not waited for."""
    looks: list[list[str]] = []

    def late(pid: int) -> list[str]:
        looks.append([""] if len(looks) < 3 else words_of(pid))
        return looks[-1]

    monkeypatch.setattr(hadoop_daemons, "words_of", late)
    idle = Idle(tmp_path / "idle")
    try:
        idle.start(["idle"])
    finally:
        idle.processes[0].kill()
        idle.processes[0].wait()
    assert looks[:3] == [[""]] * 3


@pytest.mark.slow
@pytest.mark.hdfs
@pytest.mark.parametrize("of", ["namenode", "datanode"])
def test_daemons_tell_prometheus_how_they_are(hdfs: MiniHdfs, of: Literal["namenode", "datanode"]) -> None:
    with urlopen(f"http://127.0.0.1:{hdfs.port(of, 'http')}/prom") as answer:
        names = {family.name for family in text_string_to_metric_families(answer.read().decode())}
    wanted = {"namenode": "fs_namesystem_capacity_remaining", "datanode": "datanode_bytes_written"}
    assert wanted[of] in names, sorted(names)[:20]


@pytest.mark.slow
@pytest.mark.hdfs
def test_stop_leaves_a_cluster_that_starts_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "cluster")
    first = json.loads(run("start", "--dir", folder, "--json").stdout)
    try:
        assert run("stop", "--dir", folder).returncode == 0
        status = run("status", "--dir", folder, "--json")
        assert status.returncode == 3
        assert json.loads(status.stdout)["running"] == {"namenode": False, "datanode": False}
        second = json.loads(run("start", "--dir", folder, "--json").stdout)
        assert second["ports"] == first["ports"]
        assert second["pids"] != first["pids"]
    finally:
        assert run("wipe", "--dir", folder).returncode == 0
    assert not Path(folder).exists()


@pytest.mark.hdfs
@pytest.mark.slow
def test_of_three_datanodes_one_may_die(tmp_path: Path) -> None:
    cluster = MiniHdfs(tmp_path / "cluster", datanodes=3)
    try:
        patient = HdfsSettings(webhdfs_urls=(cluster.webhdfs_url,), attempts=20)  # dead ones are still asked for 12 s
        storage = open_storage(f"{cluster.hdfs_uri}/archive", patient)
        storage.replace("copied", b"three times")
        blocks = [path for path in cluster.folder.glob("data*/**/blk_*") if path.suffix != ".meta"]
        assert [block.read_bytes() for block in blocks] == [b"three times"] * 3
        cluster.kill("datanode-2")
        assert storage.read("copied") == b"three times"
        unknown = run("stop", "--only", "datanode-4", "--dir", str(cluster.folder))
        assert unknown.returncode == 1
        assert "only: namenode, datanode, datanode-2, datanode-3" in unknown.stderr
        cluster.start("datanode-2")
    finally:
        cluster.wipe()


@pytest.mark.hdfs
@pytest.mark.slow
def test_with_kerberos_hdfs_asks_who_one_is(tmp_path: Path) -> None:
    cluster = MiniHdfs(tmp_path / "cluster", kerberos=True)
    try:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{cluster.webhdfs_url}/webhdfs/v1/?op=LISTSTATUS&user.name=root")
        assert refused.value.code == HTTPStatus.UNAUTHORIZED
        assert (cluster.folder / "kerberos" / "keytab").stat().st_size > 0
        assert run("stop", "--dir", str(cluster.folder)).returncode == 0
        again = run("start", "--dir", str(cluster.folder), "--json")
        assert json.loads(again.stdout)["running"] == {"kdc": True, "namenode": True, "datanode": True}, again.stderr
    finally:
        cluster.wipe()


def test_status_of_nothing(tmp_path: Path) -> None:
    status = run("status", "--dir", str(tmp_path / "none"), "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)["running"] == {"namenode": False, "datanode": False}


def test_wipe_deletes_only_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    wiped = run("wipe", "--dir", str(tmp_path))
    assert wiped.returncode == 1
    assert "nothing deleted" in wiped.stderr
    assert (tmp_path / "precious").exists()


def test_stop_leaves_foreign_processes_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        state = {"pids": {"namenode": stranger.pid, "datanode": stranger.pid}, "ports": {}}
        (tmp_path / "state.json").write_text(json.dumps(state))
        assert run("stop", "--dir", str(tmp_path), "--kill").returncode == 0
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0
