"""A real one-node YARN for tests, with its own HDFS, started by ``scripts/yarn`` on free ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.hdfs import one_node


class MiniYarn:
    """A cluster in a folder; ``conf`` is Hadoop's configuration for clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = one_node("yarn", folder / "yarn", "start", "--hdfs", str(folder / "hdfs"))
        self.webhdfs_url: str = state["webhdfs_url"]
        self.hdfs_uri: str = state["hdfs_uri"]
        self.url: str = state["resourcemanager_url"]
        self.conf = Path(state["hadoop_conf_dir"])

    def containers(self) -> list[int]:
        """Processes of containers: those whose current folder is the NodeManager's (Linux)."""
        local, found = (self.folder / "yarn" / "local").resolve(), []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if local in (process / "cwd").readlink().parents:
                    found.append(int(process.name))
        return found

    def wipe(self) -> None:
        """Stops all daemons and containers, and deletes their files."""
        one_node("yarn", self.folder / "yarn", "wipe")
        one_node("hdfs", self.folder / "hdfs", "wipe")


@pytest.fixture(scope="session")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniYarn]:
    """One cluster for the whole run."""
    cluster = MiniYarn(tmp_path_factory.mktemp("yarn") / "cluster")
    yield cluster
    cluster.wipe()
