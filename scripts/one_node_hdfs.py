"""One-node HDFS on this machine's loopback: for tests and experiments, not for keeping data.

    scripts/hdfs start           start both daemons, wait until they answer, print their addresses
    scripts/hdfs stop            stop what this script started (--kill: as in a crash)
    scripts/hdfs status          report what runs; exit code 0 if both daemons run, else 3
    scripts/hdfs wipe            stop and delete the whole folder
    scripts/hdfs jars            resolve the jars and start nothing

``--only namenode`` and ``--only datanode`` start or stop one of them. The first start chooses free ports and keeps them
in DIR/state.json, so a restarted daemon keeps its address. The jars are 65 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hadoop_daemons import (
    ANSWER_WITHIN_S,
    HOST,
    LOG4J,
    Daemons,
    Failed,
    free_ports,
    main,
    parser_of,
    resolved,
    write_site,
)

PORTS = ("namenode_rpc", "namenode_http", "datanode_data", "datanode_http", "datanode_ipc")
ARTIFACTS = ("hadoop-hdfs", "hadoop-hdfs-client", "hadoop-common")


class Hdfs(Daemons):
    """A NameNode and a DataNode."""

    kind = "hdfs"
    classes = {  # noqa: RUF012  # declared in the base class
        "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
        "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    }

    def jars(self) -> Path:
        """The folder with HDFS's jars."""
        return resolved("hadoop", ARTIFACTS)

    def configure(self) -> None:
        """Chooses ports and writes the configuration and the empty web folders that the daemons require."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = free_ports(PORTS)
        self.state = {
            "webhdfs_url": f"http://{HOST}:{ports['namenode_http']}",
            "hdfs_uri": f"hdfs://{HOST}:{ports['namenode_rpc']}",
            "ports": ports,
            "pids": {},
        }
        core = {
            "fs.defaultFS": self.state["hdfs_uri"],
            "hadoop.tmp.dir": str(self.root / "tmp"),
            "ipc.client.connect.retry.interval": "200",
        }
        hdfs = {
            "dfs.namenode.name.dir": (self.root / "name").as_uri(),
            "dfs.datanode.data.dir": (self.root / "data").as_uri(),
            "dfs.namenode.rpc-address": f"{HOST}:{ports['namenode_rpc']}",
            "dfs.namenode.http-address": f"{HOST}:{ports['namenode_http']}",
            "dfs.datanode.address": f"{HOST}:{ports['datanode_data']}",
            "dfs.datanode.http.address": f"{HOST}:{ports['datanode_http']}",
            "dfs.datanode.ipc.address": f"{HOST}:{ports['datanode_ipc']}",
            "dfs.datanode.hostname": HOST,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.replication": "1",
            "dfs.permissions.enabled": "false",
            "dfs.namenode.safemode.extension": "0",
            "dfs.heartbeat.interval": "1",
            # The DataNode writes for WebHDFS: retry closing a file a few milliseconds after a refusal, not 400.
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
            "dfs.client.block.write.locateFollowingBlock.retries": "10",
            # The page cache survives a killed process, and a test cluster need not survive the machine.
            "dfs.namenode.edits.noeditlogchannelflush": "true",
        }
        conf = self.root / "conf"
        for folder in ("hdfs", "datanode", "static"):
            (conf / "webapps" / folder).mkdir(parents=True, exist_ok=True)
        write_site(conf / "core-site.xml", core)
        write_site(conf / "hdfs-site.xml", hdfs)
        (conf / "log4j.properties").write_text(LOG4J)
        (self.root / "logs").mkdir(exist_ok=True)
        self.save()

    def prepare(self) -> None:
        """Configures the cluster and makes the NameNode's empty folder, unless they exist."""
        super().prepare()
        if (self.root / "name/current/VERSION").exists():
            return
        done = subprocess.run(
            self.command("namenode", "-format", "-nonInteractive"),
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=False,
        )
        if done.returncode:
            raise Failed(f"formatting the NameNode failed:\n{done.stderr[-3000:]}")

    def checks(self, started: Iterable[str]) -> list[Callable[[], bool]]:
        """The NameNode's answers, the DataNode's registration and the end of safe mode."""
        checks: list[Callable[[], bool]] = []
        if "namenode" in started:
            checks.append(self.namenode_answers)
        if self.alive("datanode") and self.alive("namenode"):
            checks += [self.datanode_registered, self.out_of_safe_mode, self.datanode_offered]
        return checks

    def bean(self, port: str, name: str) -> dict[str, Any]:
        """One JMX bean of a daemon; empty if the daemon does not answer or does not have it yet."""
        found = self.ask(port, f"/jmx?qry=Hadoop:service={name}") or {}
        return next(iter(found.get("beans", [])), {})

    def namenode_answers(self) -> bool:
        """WebHDFS answers for the root folder."""
        return self.ask("namenode_http", "/webhdfs/v1/?op=GETFILESTATUS") is not None

    def datanode_registered(self) -> bool:
        """The DataNode is registered with this NameNode."""
        try:
            actors = json.loads(self.bean("datanode_http", "DataNode,name=DataNodeInfo")["BPServiceActorInfo"])
        except (KeyError, ValueError):
            return False
        live = self.bean("namenode_http", "NameNode,name=FSNamesystemState").get("NumLiveDataNodes")
        return live == 1 and all(actor.get("ActorState") == "RUNNING" for actor in actors)

    def out_of_safe_mode(self) -> bool:
        """The NameNode accepts writes."""
        return self.bean("namenode_http", "NameNode,name=NameNodeInfo").get("Safemode") == ""

    def datanode_offered(self) -> bool:
        """The NameNode has space for a new file. The request only asks where to write one."""
        answer = self.ask("namenode_http", "/webhdfs/v1/.probe?op=CREATE&noredirect=true&overwrite=false", "PUT")
        return answer is not None and "Location" in answer

    def addresses(self) -> str:
        """The addresses for HdfsCLI and for Spark."""
        return f"WebHDFS: {self.state['webhdfs_url']}\nHDFS:    {self.state['hdfs_uri']}"


if __name__ == "__main__":
    sys.exit(main(Hdfs, parser_of(Hdfs, "One-node HDFS on loopback, for tests.").parse_args(), Hdfs))
