"""Hadoop's daemons on this machine's loopback: what ``scripts/hdfs`` and ``scripts/yarn`` have in common.

A cluster is a folder with a state file, which keeps ports and process ids between calls. Its jars are resolved once
with PySpark's Ivy and cached in ``$XDG_CACHE_HOME/git-lakehouse`` (or ``~/.cache/git-lakehouse``).
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

HADOOP_VERSION = "3.4.2"
HOST = "127.0.0.1"
ANSWER_WITHIN_S = 120.0
PORTS = range(20_000, 32_000)
"""Below Linux's usual range for outgoing connections, so that a restart finds its port free."""

RESOLVE_WITHIN_S = 1200.0
STOP_WITHIN_S = 20.0
NOT_RUNNING = 3

IVY = """<ivy-module version="2.0">
  <info organisation="local" module="hadoop-daemons"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""
DEPENDENCY = '    <dependency org="org.apache.hadoop" name="{name}" rev="{version}" conf="default->default"/>'
LOG4J = """log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


class Failed(Exception):
    """The command failed; the message says why."""


def state_home() -> Path:
    """The folder that holds clusters started without --dir."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "git-lakehouse"


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


def cache_folder() -> Path:
    """Where downloads and built programs are kept: outside the checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-lakehouse"


def resolved(name: str, artifacts: Sequence[str]) -> Path:
    """The folder with Hadoop's jars, resolved into a temporary folder and renamed when complete.

    Args:
        name: what distinguishes this folder from those of other artifacts.
        artifacts: Hadoop's artifacts; their dependencies come with them.
    """
    cache = cache_folder()
    folder = cache / f"{name}-{HADOOP_VERSION}"
    if folder.is_dir():
        return folder
    with locked(cache / f".{folder.name}.lock"):
        if folder.is_dir():
            return folder
        print(f"resolving Hadoop {HADOOP_VERSION} into {folder} (once)", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".resolve-") as temporary:
            work = Path(temporary)
            lines = (DEPENDENCY.format(name=artifact, version=HADOOP_VERSION) for artifact in artifacts)
            (work / "ivy.xml").write_text(IVY.format(dependencies="\n".join(lines)))
            pattern = "[organisation]_[artifact]-[revision](-[classifier]).[ext]"
            command = [java(), "-cp", f"{pyspark_jars()}/*", "org.apache.ivy.Main", "-warn"]
            command += ["-ivy", str(work / "ivy.xml"), "-cache", str(work / "cache"), "-confs", "default"]
            command += ["-types", "jar", "bundle", "-retrieve", f"{work}/jars/{pattern}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_WITHIN_S, check=False)
            except subprocess.TimeoutExpired as late:
                raise Failed(f"Hadoop's jars did not arrive within {RESOLVE_WITHIN_S:g} s") from late
            missing = [a for a in artifacts if not list((work / "jars").glob(f"*_{a}-{HADOOP_VERSION}.jar"))]
            if done.returncode or missing:
                raise Failed(f"Ivy could not resolve Hadoop {HADOOP_VERSION}:\n{(done.stdout + done.stderr)[-3000:]}")
            (work / "jars").rename(folder)
    return folder


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Free ports of ``PORTS``."""
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        while len(ports) < len(names):
            sock = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                sock.bind((HOST, secrets.choice(PORTS)))
                ports[names[len(ports)]] = sock.getsockname()[1]
    return ports


def write_site(file: Path, values: Mapping[str, str]) -> None:
    """Writes one of Hadoop's configuration files."""
    rows = "".join(f"<property><name>{k}</name><value>{v}</value></property>\n" for k, v in values.items())
    file.write_text(f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n')


def words_of(pid: int) -> list[str]:
    """The command line of a process; empty if there is none with this id."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


class Daemons:
    """The daemons in one folder, and their state file.

    A subclass says which daemons there are, and how their folder is made.
    """

    kind: ClassVar[str]
    """Name of the cluster's sort: also that of its default folder, and of the property that marks its processes."""

    classes: Mapping[str, str]
    """Daemons in the order in which they are started, each with its main class."""

    heap_mb: ClassVar[int] = 256

    properties: Sequence[str] = ()
    """More options of Java."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = HOST
        self.state_file = root / "state.json"
        self.state: dict[str, Any] = json.loads(self.state_file.read_text()) if self.state_file.exists() else {}

    def configure(self) -> None:
        """Chooses ports and writes the configuration."""
        raise NotImplementedError

    def jars(self) -> Path:
        """The folder with the daemons' jars."""
        raise NotImplementedError

    def jars_of(self, name: str) -> Path:
        """The folder with a daemon's jars."""
        del name
        return self.jars()

    def checks(self, started: Mapping[str, subprocess.Popen[bytes]]) -> list[Callable[[], bool]]:
        """What must be true, one after the other, before the daemons count as started."""
        raise NotImplementedError

    def save(self) -> None:
        """Writes the state file atomically, so that a reader never sees half of it."""
        temporary = self.state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.state, indent=2) + "\n")
        temporary.replace(self.state_file)

    def report(self) -> dict[str, Any]:
        """The state, and which daemons are running."""
        return {**self.state, "dir": str(self.root), "running": {name: self.alive(name) for name in self.classes}}

    @property
    def mark(self) -> str:
        """The argument that tells this cluster's processes from all others."""
        return f"-Dgit.lakehouse.{self.kind}={self.root}"

    def alive(self, name: str) -> bool:
        """Whether the recorded process is still the daemon started from this folder, not another with its pid."""
        pid = self.state.get("pids", {}).get(name)
        return bool(pid) and self.recognises(name, words_of(pid))

    def recognises(self, name: str, words: Sequence[str]) -> bool:
        """Whether these are the words of the command line with which this folder's daemon runs."""
        return self.classes[name] in words and self.mark in words

    def command(self, name: str, *arguments: str) -> list[str]:
        """The java command line of a daemon."""
        return [
            java(),
            "--add-opens",
            "java.base/java.lang=ALL-UNNAMED",
            "--add-opens",
            "java.base/java.io=ALL-UNNAMED",
            "--add-exports",
            "java.base/sun.net.dns=ALL-UNNAMED",
            f"-Xmx{self.heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.net.preferIPv4Stack=true",
            *self.properties,
            self.mark,
            "-cp",
            f"{self.root / 'conf'}:{self.jars_of(name)}/*",
            self.classes[name],
            *arguments,
        ]

    def prepare(self) -> None:
        """What must happen before the first daemon of a start."""
        if not self.state:
            self.configure()

    def environment(self) -> dict[str, str]:
        """The environment of a daemon."""
        return os.environ | {"JAVA_HOME": str(Path(java()).resolve().parents[1])}

    def start(self, names: Sequence[str]) -> None:
        """Starts the daemons that are not running and waits until they answer; stops them again if that fails."""
        self.prepare()
        started: dict[str, subprocess.Popen[bytes]] = {}
        environment = self.environment()
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
                        env=environment,
                        start_new_session=True,
                    )
                self.state["pids"][name] = started[name].pid
                self.save()
                self._wait_for_words(name, started[name])
            self._wait(started)
        except BaseException:
            self.stop(list(started), kill=True)
            raise

    def _wait_for_words(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Popen can return before the system shows the new command line: until then a daemon looks dead."""
        until = time.monotonic() + ANSWER_WITHIN_S
        while not self.alive(name) and process.poll() is None:
            if time.monotonic() > until:
                raise Failed(f"the process {process.pid} does not become the {name}")
            time.sleep(0.001)

    def _wait(self, started: Mapping[str, subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + ANSWER_WITHIN_S
        for check in self.checks(started):
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
            request = urllib.request.Request(f"http://{self.host}:{self.state['ports'][port]}{query}", method=method)
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # http, two lines above
                found = json.load(answer)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def stop(self, names: Sequence[str], *, kill: bool) -> None:
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
        """Stops all daemons and deletes the folder, if this script made it."""
        if self.root.exists() and not self.state and any(self.root.iterdir()):
            raise Failed(f"{self.root} has no state.json: this script did not make it, nothing deleted")
        self.stop(list(self.classes), kill=True)
        if self.root.exists():
            shutil.rmtree(self.root)

    def addresses(self) -> str:
        """What a person needs to know of a configured cluster, one thing per line."""
        raise NotImplementedError


def parser_of(cluster: type[Daemons], description: str) -> argparse.ArgumentParser:
    """The command line that both scripts have."""
    parser = argparse.ArgumentParser(prog=f"scripts/{cluster.kind}", description=description)
    parser.add_argument("command", choices=("start", "stop", "status", "wipe", "jars"))
    default = state_home() / cluster.kind
    parser.add_argument("--dir", type=Path, default=default, help=f"the cluster's folder (default: {default})")
    parser.add_argument("--only", metavar="DAEMON", help="start or stop one daemon, by its name in status")
    parser.add_argument("--kill", action="store_true", help="stop as in a crash: SIGKILL at once")
    parser.add_argument("--json", action="store_true", help="print the state as JSON")
    return parser


def run(options: argparse.Namespace, make: Callable[[Path], Daemons]) -> int:
    """Runs one command; returns its exit code."""
    root = options.dir.absolute()
    if options.command == "jars":
        print(make(root).jars())
        return 0
    with locked(root.parent / f".{root.name}.lock"):
        cluster = make(root)
        names = [options.only] if options.only else list(cluster.classes)
        if not cluster.classes.keys() >= set(names):
            raise Failed(f"there is no {options.only} here, only: {', '.join(cluster.classes)}")
        if options.command == "start":
            cluster.start(names)
        elif options.command == "stop":
            cluster.stop(names, kill=options.kill)
        elif options.command == "wipe":
            cluster.wipe()
            cluster = make(root)
        report = cluster.report()
    if options.json:
        print(json.dumps(report, sort_keys=True))
    else:
        for name, runs in report["running"].items():
            print(f"{name}: {'running, pid ' + str(report['pids'][name]) if runs else 'not running'}")
        if "hdfs_uri" in cluster.state:
            print(cluster.addresses())
    return NOT_RUNNING if options.command == "status" and not all(report["running"].values()) else 0


def main(cluster: type[Daemons], options: argparse.Namespace, make: Callable[[Path], Daemons]) -> int:
    """Like ``run``, with failures as a message on standard error and exit code 1."""
    try:
        return run(options, make)
    except Failed as error:
        print(f"scripts/{cluster.kind}: {error}", file=sys.stderr)
        return 1
