"""HDFS on this machine's loopback: for tests and experiments, not for keeping data.

    scripts/hdfs start           start all daemons, wait until they answer, print their addresses
    scripts/hdfs stop            stop what this script started (--kill: as in a crash)
    scripts/hdfs status          report what runs; exit code 0 if all daemons run, else 3
    scripts/hdfs wipe            stop and delete the whole folder
    scripts/hdfs jars            resolve the jars and start nothing

``--datanodes 3`` at the first start makes three DataNodes, each with a copy of every block; ``--host ADDRESS`` gives
them another address of this machine, such as that on which pods reach it (scripts/kubernetes), and ``--kerberos`` a
KDC of their own, so that HDFS asks who one is: DIR/kerberos has the keytab of ``lake`` and a krb5.conf. ``--only
namenode`` and ``--only datanode`` (``datanode-2``, ...) start or stop one daemon. The first start chooses free ports
and keeps them in DIR/state.json, so a restarted daemon keeps its address. The jars are 65 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
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

PORTS = ("namenode_rpc", "namenode_http")
OF_A_DATANODE = ("data", "http", "ipc")
MOST_COPIES = 3
ARTIFACTS = ("hadoop-hdfs", "hadoop-hdfs-client", "hadoop-common")
KDC, REALM, USER = "kdc", "EXAMPLE.COM", "lake"
KRB5 = """[libdefaults]
 default_realm = {realm}
 udp_preference_limit = 1
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {realm} = {{
  kdc = {host}:{port}
 }}
"""


class Hdfs(Daemons):
    """A NameNode and its DataNodes, whose number is that of the first start, and if that wanted one a KDC."""

    kind = "hdfs"

    def __init__(self, root: Path, datanodes: int = 1, host: str = HOST, *, kerberos: bool = False) -> None:
        super().__init__(root)
        self.host = str(self.state.get("host", host))
        self.datanodes = names_of(int(self.state.get("datanodes", datanodes)))
        self.secure = bool(self.state.get("kerberos", kerberos))
        self.kerberos = root / "kerberos"
        if self.secure:
            self.properties = (f"-Djava.security.krb5.conf={self.kerberos}/krb5.conf",)
        self.classes = {
            **({KDC: "org.apache.hadoop.minikdc.MiniKdc"} if self.secure else {}),
            "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
            **dict.fromkeys(self.datanodes, "org.apache.hadoop.hdfs.server.datanode.DataNode"),
        }

    def jars(self) -> Path:
        """The folder with HDFS's jars."""
        return resolved("hadoop", ARTIFACTS)

    def jars_of(self, name: str) -> Path:
        """The folder with a daemon's jars."""
        return resolved("hadoop-minikdc", ("hadoop-minikdc",)) if name == KDC else self.jars()

    def configure(self) -> None:
        """Chooses ports and writes the configuration and the empty web folders that the daemons require."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = free_ports([*PORTS, KDC, *(f"{name}_{use}" for name in self.datanodes for use in OF_A_DATANODE)])
        self.state = {
            "datanodes": len(self.datanodes),
            "host": self.host,
            "kerberos": self.secure,
            "webhdfs_url": f"http://{self.host}:{ports['namenode_http']}",
            "hdfs_uri": f"hdfs://{self.host}:{ports['namenode_rpc']}",
            "ports": ports,
            "pids": {},
        }
        core = {
            "fs.defaultFS": self.state["hdfs_uri"],
            "hadoop.tmp.dir": str(self.root / "tmp"),
            "ipc.client.connect.retry.interval": "200",
            "hadoop.prometheus.endpoint.enabled": "true",
        }
        hdfs = {
            "dfs.namenode.name.dir": (self.root / "name").as_uri(),
            "dfs.namenode.rpc-address": f"{self.host}:{ports['namenode_rpc']}",
            "dfs.namenode.http-address": f"{self.host}:{ports['namenode_http']}",
            "dfs.datanode.hostname": self.host,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.replication": str(min(len(self.datanodes), MOST_COPIES)),
            "dfs.permissions.enabled": "false",
            "dfs.namenode.safemode.extension": "0",
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "1000",  # a DataNode is dead after 12 s, not after 10 minutes
            # The DataNode writes for WebHDFS: retry closing a file a few milliseconds after a refusal, not 400.
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
            "dfs.client.block.write.locateFollowingBlock.retries": "10",
            # The page cache survives a killed process, and a test cluster need not survive the machine.
            "dfs.namenode.edits.noeditlogchannelflush": "true",
        }
        if self.secure:
            core |= {"hadoop.security.authentication": "kerberos"}
            hdfs |= self.secured()
            self.configure_kdc()
        conf = self.root / "conf"
        for folder in ("hdfs", "datanode", "static"):
            (conf / "webapps" / folder).mkdir(parents=True, exist_ok=True)
        write_site(conf / "core-site.xml", core)
        write_site(conf / "hdfs-site.xml", hdfs)
        (conf / "log4j.properties").write_text(LOG4J)
        (self.root / "logs").mkdir(exist_ok=True)
        self.save()

    def principal(self, service: str) -> str:
        """Who a service of this host is."""
        return f"{service}/{self.host}@{REALM}"

    def secured(self) -> dict[str, str]:
        """What hdfs-site.xml has besides. DataNodes are not root, so their ports are not privileged."""
        keytab = str(self.kerberos / "keytab")
        return {
            "dfs.block.access.token.enable": "true",
            "ignore.secure.ports.for.testing": "true",
            "dfs.namenode.kerberos.principal": self.principal("hdfs"),
            "dfs.namenode.keytab.file": keytab,
            "dfs.datanode.kerberos.principal": self.principal("hdfs"),
            "dfs.datanode.keytab.file": keytab,
            "dfs.web.authentication.kerberos.principal": self.principal("HTTP"),
            "dfs.web.authentication.kerberos.keytab": keytab,
        }

    def configure_kdc(self) -> None:
        """Writes the KDC's configuration and that of whoever asks it."""
        self.kerberos.mkdir(exist_ok=True)
        port = self.state["ports"][KDC]
        (self.kerberos / "kdc.properties").write_text(
            f"kdc.bind.address={self.host}\nkdc.port={port}\ntransport=TCP\norg.name=EXAMPLE\norg.domain=COM\n"
        )
        (self.kerberos / "krb5.conf").write_text(KRB5.format(realm=REALM, host=self.host, port=port))

    def command(self, name: str, *arguments: str) -> list[str]:
        """The java command line of a daemon; each DataNode has its own folder and ports."""
        if name == KDC:
            work = self.root / KDC
            work.mkdir(exist_ok=True)
            files = (work, self.kerberos / "kdc.properties", self.kerberos / "keytab")
            return super().command(name, *map(str, files), USER, f"hdfs/{self.host}", f"HTTP/{self.host}", *arguments)
        own: list[str] = []
        if name == "namenode" and self.secure:  # of WebHDFS and of all its pages; those of DataNodes say how they are
            http = "-Dhadoop.http.authentication"
            own = [f"{http}.type=kerberos", f"{http}.kerberos.principal={self.principal('HTTP')}"]
            own += [f"{http}.kerberos.keytab={self.kerberos}/keytab"]
        if name in self.datanodes:
            data, http, ipc = (f"{self.host}:{self.state['ports'][f'{name}_{use}']}" for use in OF_A_DATANODE)
            folder = (self.root / name.replace("datanode", "data")).as_uri()
            own = [f"-Ddfs.datanode.data.dir={folder}", f"-Ddfs.datanode.address={data}"]
            own += [f"-Ddfs.datanode.http.address={http}", f"-Ddfs.datanode.ipc.address={ipc}"]
        return super().command(name, *own, *arguments)

    def prepare(self) -> None:
        """Configures the cluster and makes the NameNode's empty folder, unless they exist."""
        super().prepare()
        logged_in = self.alive(KDC) if self.secure else True
        if (self.root / "name/current/VERSION").exists() or not logged_in:
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

    def start(self, names: Sequence[str]) -> None:
        """Starts daemons, the KDC before those who log in there."""
        if KDC not in names:
            super().start(names)
            return
        if not self.alive(KDC):
            (self.kerberos / "keytab").unlink(missing_ok=True)
        super().start([KDC])
        try:
            super().start([name for name in names if name != KDC])
        except BaseException:
            self.stop([KDC], kill=True)
            raise

    def keytab_written(self) -> bool:
        """The KDC knows everybody, and services can log in."""
        return (self.kerberos / "keytab").exists()

    def checks(self, started: Mapping[str, subprocess.Popen[bytes]]) -> list[Callable[[], bool]]:
        """The NameNode's answers, the DataNode's registration and the end of safe mode."""
        checks: list[Callable[[], bool]] = []
        if KDC in started:
            checks.append(self.keytab_written)
        if "namenode" in started:
            checks.append(self.namenode_answers)
        if self.alive("namenode") and any(self.alive(name) for name in self.datanodes):
            checks += [self.datanodes_registered, self.out_of_safe_mode, self.datanode_offered]
        return checks

    def bean(self, port: str, name: str) -> dict[str, Any]:
        """One JMX bean of a daemon; empty if the daemon does not answer or does not have it yet."""
        found = self.ask(port, f"/jmx?qry=Hadoop:service={name}") or {}
        return next(iter(found.get("beans", [])), {})

    def namenode_answers(self) -> bool:
        """WebHDFS answers for the root folder; where it asks who one is, the NameNode answers at all."""
        if self.secure:
            return self.asks_who("namenode_http")
        return self.ask("namenode_http", "/webhdfs/v1/?op=GETFILESTATUS") is not None

    def asks_who(self, port: str) -> bool:
        """Whether a daemon answers that one must log in."""
        try:
            urllib.request.urlopen(f"http://{self.host}:{self.state['ports'][port]}/jmx", timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == HTTPStatus.UNAUTHORIZED
        except OSError:
            return False
        return False

    def datanodes_registered(self) -> bool:
        """All running DataNodes are registered with this NameNode."""
        running = [name for name in self.datanodes if self.alive(name)]
        if self.secure:
            return all(self.registered(name) for name in running)
        live = self.bean("namenode_http", "NameNode,name=FSNamesystemState").get("NumLiveDataNodes", 0)
        return live >= len(running) and all(self.registered(name) for name in running)

    def registered(self, datanode: str) -> bool:
        """A DataNode has its NameNode."""
        try:
            actors = json.loads(self.bean(f"{datanode}_http", "DataNode,name=DataNodeInfo")["BPServiceActorInfo"])
        except (KeyError, ValueError):
            return False
        return all(actor.get("ActorState") == "RUNNING" for actor in actors)

    def out_of_safe_mode(self) -> bool:
        """The NameNode accepts writes."""
        if self.secure:
            return True
        return self.bean("namenode_http", "NameNode,name=NameNodeInfo").get("Safemode") == ""

    def datanode_offered(self) -> bool:
        """The NameNode has space for a new file. The request only asks where to write one."""
        if self.secure:
            return True
        answer = self.ask("namenode_http", "/webhdfs/v1/.probe?op=CREATE&noredirect=true&overwrite=false", "PUT")
        return answer is not None and "Location" in answer

    def addresses(self) -> str:
        """The addresses for HdfsCLI and for Spark."""
        found = f"WebHDFS: {self.state['webhdfs_url']}\nHDFS:    {self.state['hdfs_uri']}"
        return f"{found}\nKerberos: {USER}@{REALM}, {self.kerberos}/keytab and krb5.conf" if self.secure else found


def names_of(datanodes: int) -> list[str]:
    """The names of DataNodes: datanode, datanode-2, ..."""
    return [f"datanode-{number}" if number > 1 else "datanode" for number in range(1, datanodes + 1)]


if __name__ == "__main__":
    parser = parser_of(Hdfs, "HDFS on loopback, for tests.")
    parser.add_argument("--datanodes", type=int, default=1, help="DataNodes of a new cluster (default: 1)")
    parser.add_argument("--host", default=HOST, help=f"address of a new cluster on this machine (default: {HOST})")
    parser.add_argument("--kerberos", action="store_true", help="a new cluster with a KDC")
    options = parser.parse_args()
    make = partial(Hdfs, datanodes=options.datanodes, host=options.host, kerberos=options.kerberos)
    sys.exit(main(Hdfs, options, make))
