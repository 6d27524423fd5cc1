"""One-node YARN on this machine's loopback: for tests and experiments, with the HDFS of ``scripts/hdfs``.

    scripts/yarn start           start ResourceManager and NodeManager, and HDFS if it does not run; print addresses
    scripts/yarn stop            stop both and all containers (--kill: the daemons as in a crash); HDFS stays
    scripts/yarn status          report what runs; exit code 0 if both daemons run, else 3
    scripts/yarn wipe            stop and delete the whole folder; HDFS and its folder stay
    scripts/yarn jars            resolve the jars and start nothing

``--hdfs DIR`` names the folder of the HDFS. The first start chooses free ports and keeps them in DIR/state.json. Spark
finds the cluster through ``HADOOP_CONF_DIR``, the folder DIR/conf. The jars are 92 MB.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hadoop_daemons import (
    HOST,
    LOG4J,
    Daemons,
    Failed,
    free_ports,
    locked,
    main,
    parser_of,
    resolved,
    state_home,
    write_site,
)
from one_node_hdfs import Hdfs

PORTS = (
    "resourcemanager_rpc",
    "resourcemanager_scheduler",
    "resourcemanager_tracker",
    "resourcemanager_admin",
    "resourcemanager_http",
    "nodemanager_rpc",
    "nodemanager_localizer",
    "nodemanager_collector",
    "nodemanager_http",
)
ARTIFACTS = (
    "hadoop-yarn-server-resourcemanager",
    "hadoop-yarn-server-nodemanager",
    "hadoop-yarn-server-timelineservice",
    "hadoop-client",
)
MEMORY_MB, CORES = 4096, 4
"""What the NodeManager offers to containers; nothing watches whether they keep to it."""

LEAST_CONTAINER_MB = 128


class Yarn(Daemons):
    """A ResourceManager and a NodeManager."""

    kind = "yarn"
    classes = {  # noqa: RUF012  # declared in the base class
        "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
        "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
    }

    def __init__(self, root: Path, hdfs: Path) -> None:
        super().__init__(root)
        self.hdfs = Path(self.state.get("hdfs_dir", hdfs))

    def jars(self) -> Path:
        """The folder with YARN's jars."""
        return resolved("hadoop-yarn", ARTIFACTS)

    def prepare(self) -> None:
        """Starts the HDFS, and configures this cluster for it."""
        with locked(self.hdfs.parent / f".{self.hdfs.name}.lock"):
            hdfs = Hdfs(self.hdfs)
            hdfs.start(list(hdfs.classes))
        super().prepare()
        if self.state["hdfs_uri"] != hdfs.state["hdfs_uri"]:
            raise Failed(f"{self.hdfs} has another HDFS now: wipe {self.root} and start again")

    def configure(self) -> None:
        """Chooses ports and writes the configuration."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = free_ports(PORTS)
        hdfs = Hdfs(self.hdfs)
        conf = self.root / "conf"
        self.state = {
            "resourcemanager_url": f"http://{HOST}:{ports['resourcemanager_http']}",
            "hadoop_conf_dir": str(conf),
            "hdfs_dir": str(self.hdfs),
            "hdfs_uri": hdfs.state["hdfs_uri"],
            "webhdfs_url": hdfs.state["webhdfs_url"],
            "ports": ports,
            "pids": {},
        }
        manager, node = "yarn.resourcemanager", "yarn.nodemanager"
        yarn = {
            f"{manager}.hostname": HOST,
            f"{manager}.address": f"{HOST}:{ports['resourcemanager_rpc']}",
            f"{manager}.scheduler.address": f"{HOST}:{ports['resourcemanager_scheduler']}",
            f"{manager}.resource-tracker.address": f"{HOST}:{ports['resourcemanager_tracker']}",
            f"{manager}.admin.address": f"{HOST}:{ports['resourcemanager_admin']}",
            f"{manager}.webapp.address": f"{HOST}:{ports['resourcemanager_http']}",
            f"{node}.hostname": HOST,
            f"{node}.address": f"{HOST}:{ports['nodemanager_rpc']}",
            f"{node}.localizer.address": f"{HOST}:{ports['nodemanager_localizer']}",
            f"{node}.collector-service.address": f"{HOST}:{ports['nodemanager_collector']}",
            f"{node}.webapp.address": f"{HOST}:{ports['nodemanager_http']}",
            f"{node}.local-dirs": str(self.root / "local"),
            f"{node}.log-dirs": str(self.root / "logs" / "containers"),
            f"{node}.resource.memory-mb": str(MEMORY_MB),
            f"{node}.resource.cpu-vcores": str(CORES),
            f"{node}.pmem-check-enabled": "false",
            f"{node}.vmem-check-enabled": "false",
            f"{node}.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.5",
            "yarn.scheduler.minimum-allocation-mb": str(LEAST_CONTAINER_MB),
            "yarn.scheduler.maximum-allocation-mb": str(MEMORY_MB),
            "yarn.nm.liveness-monitor.expiry-interval-ms": "10000",
            "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "200",
        }
        queues = "yarn.scheduler.capacity"
        capacity = {
            f"{queues}.root.queues": "default",
            f"{queues}.root.default.capacity": "100",
            f"{queues}.maximum-am-resource-percent": "0.8",
            # Without it only memory counts.
            f"{queues}.resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator",
        }
        conf.mkdir(exist_ok=True)
        for file in ("core-site.xml", "hdfs-site.xml"):
            shutil.copyfile(self.hdfs / "conf" / file, conf / file)
        write_site(conf / "yarn-site.xml", yarn)
        write_site(conf / "capacity-scheduler.xml", capacity)
        (conf / "log4j.properties").write_text(LOG4J)
        (self.root / "logs").mkdir(exist_ok=True)
        self.save()

    def checks(self, started: Mapping[str, subprocess.Popen[bytes]]) -> list[Callable[[], bool]]:
        """The ResourceManager's answers, and a node that it may use."""
        checks: list[Callable[[], bool]] = [self.resourcemanager_answers]
        if self.alive("nodemanager"):
            checks += [self.nodemanager_answers, self.node_registered]
        return checks if list(started) else []

    def resourcemanager_answers(self) -> bool:
        """The ResourceManager accepts applications."""
        found = self.ask("resourcemanager_http", "/ws/v1/cluster/info") or {}
        return bool(found.get("clusterInfo", {}).get("state") == "STARTED")

    def nodemanager_answers(self) -> bool:
        """The NodeManager is healthy."""
        found = self.ask("nodemanager_http", "/ws/v1/node/info") or {}
        return bool(found.get("nodeInfo", {}).get("nodeHealthy"))

    def node_registered(self) -> bool:
        """The ResourceManager has a node for containers."""
        found = self.ask("resourcemanager_http", "/ws/v1/cluster/metrics") or {}
        return bool(found.get("clusterMetrics", {}).get("activeNodes"))

    def stop(self, names: Sequence[str], *, kill: bool) -> None:
        """Stops daemons; containers do not outlive their NodeManager, even if that was killed."""
        super().stop(names, kill=kill)
        if "nodemanager" in names:
            for pid in self.containers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def containers(self) -> Iterator[int]:
        """Processes of containers: those whose current folder is the NodeManager's (Linux)."""
        local = (self.root / "local").resolve()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if local in (process / "cwd").readlink().parents:
                    yield int(process.name)

    def addresses(self) -> str:
        """The addresses of YARN's page and of the HDFS, and where Spark finds both."""
        return (
            f"YARN:    {self.state['resourcemanager_url']}\nWebHDFS: {self.state['webhdfs_url']}\n"
            f"HDFS:    {self.state['hdfs_uri']}\nexport HADOOP_CONF_DIR={self.state['hadoop_conf_dir']}"
        )


if __name__ == "__main__":
    parser = parser_of(Yarn, "One-node YARN on loopback, for tests.")
    default = state_home() / Hdfs.kind
    parser.add_argument("--hdfs", type=Path, default=default, help=f"folder of the HDFS (default: {default})")
    options = parser.parse_args()
    sys.exit(main(Yarn, options, partial(Yarn, hdfs=options.hdfs.absolute())))
