"""One-node HDFS on this machine's loopback: for tests and experiments, not for keeping data.

    scripts/hdfs start           start both daemons, wait until they answer, print their addresses
    scripts/hdfs stop            stop what this script started (--kill: as in a crash)
    scripts/hdfs status          report what runs; exit code 0 if both daemons run, else 3
    scripts/hdfs wipe            stop and delete the whole folder
    scripts/hdfs jars            resolve the jars and start nothing

``--only namenode`` and ``--only datanode`` start or stop one of them. The first start chooses free ports and keeps them
in DIR/state.json, so a restarted daemon keeps its address. The jars (65 MB) are resolved once with PySpark's Ivy and
cached in ``$XDG_CACHE_HOME/git-lakehouse`` (or ``~/.cache/git-lakehouse``).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

HADOOP_VERSION = "3.4.2"
HOST = "127.0.0.1"
DAEMONS = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
}
PORTS = ("namenode_rpc", "namenode_http", "datanode_data", "datanode_http", "datanode_ipc")
ANSWER_WITHIN_S = 120.0
RESOLVE_WITHIN_S = 1200.0
STOP_WITHIN_S = 20.0
NOT_RUNNING = 3

IVY = """<ivy-module version="2.0">
  <info organisation="local" module="one-node-hdfs"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
    <dependency org="org.apache.hadoop" name="hadoop-hdfs" rev="{v}" conf="default->default"/>
    <dependency org="org.apache.hadoop" name="hadoop-hdfs-client" rev="{v}" conf="default->default"/>
    <dependency org="org.apache.hadoop" name="hadoop-common" rev="{v}" conf="default->default"/>
  </dependencies>
</ivy-module>
"""
LOG4J = """log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


class Failed(Exception):
    """The command failed; the message says why."""


def default_dir() -> Path:
    """The cluster's folder if no --dir is given."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "git-lakehouse" / "hdfs"


def pyspark_jars() -> Path:
    """PySpark's jar folder."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise Failed(f"{sys.executable} has no pyspark, whose Ivy fetches Hadoop: run scripts/setup first")
    return Path(next(iter(spec.submodule_search_locations))) / "jars"


def java() -> str:
    """The java command, JAVA_HOME's first."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not found:
        raise Failed("no java found: install a Java 17 runtime or set JAVA_HOME")
    return found


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, so that two calls do not interfere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def jars() -> Path:
    """The folder with Hadoop's jars, resolved into a temporary folder and renamed when complete."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-lakehouse"
    folder = cache / f"hadoop-{HADOOP_VERSION}"
    if folder.is_dir():
        return folder
    with locked(cache / f".hadoop-{HADOOP_VERSION}.lock"):
        if folder.is_dir():
            return folder
        print(f"resolving Hadoop {HADOOP_VERSION} into {folder} (once)", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".resolve-") as temporary:
            work = Path(temporary)
            (work / "ivy.xml").write_text(IVY.format(v=HADOOP_VERSION))
            pattern = "[organisation]_[artifact]-[revision](-[classifier]).[ext]"
            command = [java(), "-cp", f"{pyspark_jars()}/*", "org.apache.ivy.Main", "-warn"]
            command += ["-ivy", str(work / "ivy.xml"), "-cache", str(work / "cache"), "-confs", "default"]
            command += ["-types", "jar", "bundle", "-retrieve", f"{work}/jars/{pattern}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_WITHIN_S, check=False)
            except subprocess.TimeoutExpired as late:
                raise Failed(f"Hadoop's jars did not arrive within {RESOLVE_WITHIN_S:g} s") from late
            if done.returncode or not list((work / "jars").glob(f"*hadoop-hdfs-{HADOOP_VERSION}.jar")):
                raise Failed(f"Ivy could not resolve Hadoop {HADOOP_VERSION}:\n{(done.stdout + done.stderr)[-3000:]}")
            (work / "jars").rename(folder)
    return folder


def free_ports() -> dict[str, int]:
    """Free ports below the system's range for outgoing connections, so that a restart finds them free."""
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        while len(ports) < len(PORTS):
            sock = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                sock.bind((HOST, 20000 + secrets.randbelow(12000)))
                ports[PORTS[len(ports)]] = sock.getsockname()[1]
    return ports


class Cluster:
    """The two daemons in one folder, and their state file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state_file = root / "state.json"
        self.state: dict[str, Any] = json.loads(self.state_file.read_text()) if self.state_file.exists() else {}

    def save(self) -> None:
        """Writes the state file atomically, so that a reader never sees half of it."""
        temporary = self.state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.state, indent=2) + "\n")
        temporary.replace(self.state_file)

    def report(self) -> dict[str, Any]:
        """The state, and which daemons are running."""
        return {**self.state, "dir": str(self.root), "running": {name: self.alive(name) for name in DAEMONS}}

    def alive(self, name: str) -> bool:
        """Whether the recorded process is still the daemon started from this folder, not another with its pid."""
        pid = self.state.get("pids", {}).get(name)
        if not pid:
            return False
        arguments = Path(f"/proc/{pid}/cmdline")
        if Path("/proc/self").exists():
            try:
                words = arguments.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                return False
        else:
            words = subprocess.run(
                ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
            ).stdout.split()
        return DAEMONS[name] in words and f"-Dgit.lakehouse.hdfs={self.root}" in words

    def configure(self) -> None:
        """Chooses ports and writes the configuration and the empty web folders that the daemons require."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = free_ports()
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
        for file, values in (("core-site.xml", core), ("hdfs-site.xml", hdfs)):
            rows = "".join(f"<property><name>{k}</name><value>{v}</value></property>\n" for k, v in values.items())
            (conf / file).write_text(f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n')
        (conf / "log4j.properties").write_text(LOG4J)
        (self.root / "logs").mkdir(exist_ok=True)
        self.save()

    def command(self, name: str, *arguments: str) -> list[str]:
        """The java command line of a daemon."""
        return [
            java(),
            "--add-opens",
            "java.base/java.lang=ALL-UNNAMED",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.net.preferIPv4Stack=true",
            f"-Dgit.lakehouse.hdfs={self.root}",
            "-cp",
            f"{self.root / 'conf'}:{jars()}/*",
            DAEMONS[name],
            *arguments,
        ]

    def format(self) -> None:
        """Makes the NameNode's empty folder, unless it exists."""
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

    def start(self, names: list[str]) -> None:
        """Starts the daemons that are not running and waits until they answer; stops them again if that fails."""
        if not self.state:
            self.configure()
        self.format()
        started: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name in names:
                if self.alive(name):
                    continue
                with (self.root / "logs" / f"{name}.log").open("ab") as log:
                    started[name] = subprocess.Popen(
                        self.command(name),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                self.state["pids"][name] = started[name].pid
                self.save()
            self.wait(started)
        except BaseException:
            self.stop(list(started), kill=True)
            raise

    def wait(self, started: dict[str, subprocess.Popen[bytes]]) -> None:
        """Waits, within a limit, for the NameNode's answers, the DataNode's registration and the end of safe mode."""
        checks: list[Callable[[], bool]] = []
        if "namenode" in started:
            checks.append(self.namenode_answers)
        if self.alive("datanode") and self.alive("namenode"):
            checks += [self.datanode_registered, self.out_of_safe_mode, self.datanode_offered]
        until = time.monotonic() + ANSWER_WITHIN_S
        for check in checks:
            while not check():
                for name, process in started.items():
                    if process.poll() is not None:
                        raise Failed(f"the {name} ended with code {process.returncode}:\n{self.log_tail(name)}")
                if time.monotonic() > until:
                    raise Failed(f"{check.__name__}: no success within {ANSWER_WITHIN_S:g} s; see {self.root / 'logs'}")
                time.sleep(0.1)

    def log_tail(self, name: str) -> str:
        """The last lines of a daemon's log."""
        return (self.root / "logs" / f"{name}.log").read_text(errors="replace")[-2000:]

    def ask(self, port: str, query: str, method: str = "GET") -> dict[str, Any] | None:
        """One HTTP answer of a daemon as JSON; None if there is no answer."""
        try:
            request = urllib.request.Request(f"http://{HOST}:{self.state['ports'][port]}{query}", method=method)
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # http, two lines above
                found = json.load(answer)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

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

    def stop(self, names: list[str], *, kill: bool) -> None:
        """Stops the recorded daemons: SIGTERM, then SIGKILL; with ``kill``, SIGKILL at once."""
        for number in (signal.SIGKILL,) if kill else (signal.SIGTERM, signal.SIGKILL):
            running = [name for name in names if self.alive(name)]
            for name in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.state["pids"][name], number)
            until = time.monotonic() + STOP_WITHIN_S
            while any(self.alive(name) for name in running) and time.monotonic() < until:
                time.sleep(0.05)
        left = [name for name in names if self.alive(name)]
        if left:
            raise Failed(f"still running: {', '.join(left)}")
        if self.state:
            for name in names:
                self.state["pids"].pop(name, None)
            self.save()

    def wipe(self) -> None:
        """Stops both daemons and deletes the folder, if this script made it."""
        if self.root.exists() and not self.state and any(self.root.iterdir()):
            raise Failed(f"{self.root} has no state.json: this script did not make it, nothing deleted")
        self.stop(list(DAEMONS), kill=True)
        if self.root.exists():
            shutil.rmtree(self.root)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="scripts/hdfs", description="One-node HDFS on loopback, for tests.")
    parser.add_argument("command", choices=("start", "stop", "status", "wipe", "jars"))
    parser.add_argument("--dir", type=Path, default=None, help=f"the cluster's folder (default: {default_dir()})")
    parser.add_argument("--only", choices=tuple(DAEMONS), help="start or stop one daemon")
    parser.add_argument("--kill", action="store_true", help="stop as in a crash: SIGKILL at once")
    parser.add_argument("--json", action="store_true", help="print the state as JSON")
    return parser.parse_args(arguments)


def print_report(report: dict[str, Any], *, as_json: bool) -> None:
    """Prints the daemons' addresses and which of them run."""
    if as_json:
        print(json.dumps(report, sort_keys=True))
        return
    for name, runs in report["running"].items():
        print(f"{name}: {'running, pid ' + str(report['pids'][name]) if runs else 'not running'}")
    if "webhdfs_url" in report:
        print(f"WebHDFS: {report['webhdfs_url']}\nHDFS:    {report['hdfs_uri']}")


def run(options: argparse.Namespace) -> int:
    """Runs one command; returns its exit code."""
    if options.command == "jars":
        print(jars())
        return 0
    root = (options.dir or default_dir()).absolute()
    names = [options.only] if options.only else list(DAEMONS)
    with locked(root.parent / f".{root.name}.lock"):
        cluster = Cluster(root)
        if options.command == "start":
            cluster.start(names)
        elif options.command == "stop":
            cluster.stop(names, kill=options.kill)
        elif options.command == "wipe":
            cluster.wipe()
            cluster = Cluster(root)
        report = cluster.report()
    print_report(report, as_json=options.json)
    return NOT_RUNNING if options.command == "status" and not all(report["running"].values()) else 0


def main() -> NoReturn:
    """Entry point."""
    try:
        sys.exit(run(parse()))
    except Failed as error:
        print(f"scripts/hdfs: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
