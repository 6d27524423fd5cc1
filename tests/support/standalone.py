"""A real standalone cluster of Spark: a master and workers as processes of their own, on free ports."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

from tests.support.sessions import comes_up, in_session, kill_session
from tests.support.sockets import LOOPBACK, free_port

HOME = Path(pyspark.__file__).parent
START_ATTEMPTS = 5
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


@dataclass
class SparkCluster:
    """``url`` is the value for ``spark.master``."""

    folder: Path
    port: int
    page: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"spark://{LOOPBACK}:{self.port}"

    def add_worker(self, cores: int, memory: str) -> subprocess.Popen[bytes]:
        """Start a worker, which registers by itself; its executors' scratch is ``local-N`` of its number."""
        number = len(self.processes)
        return self._start(
            f"worker-{number}", "worker.Worker", "--cores", str(cores), "--memory", memory, "--webui-port", "0",
            "--work-dir", str(self.folder / f"work-{number}"), self.url,
            SPARK_LOCAL_DIRS=str(self.scratch(number)),
        )  # fmt: skip

    def wait_for_workers(self, count: int) -> None:
        """Wait until the master knows so many workers: a command asks for executors on those that it finds."""
        until = time.monotonic() + START_LIMIT_S
        while (self.folder / "master.log").read_text().count("Registering worker ") < count:
            if time.monotonic() > until:
                raise TimeoutError(f"fewer than {count} workers after {START_LIMIT_S:g} s")
            time.sleep(0.05)

    def scratch(self, number: int) -> Path:
        """Where executors of a worker put what they spill."""
        return self.folder / f"local-{number}"

    def workers(self) -> dict[int, subprocess.Popen[bytes]]:
        """The workers that run, by number; their sessions hold their executors and the Python of these."""
        return {number: one for number, one in enumerate(self.processes) if number and one.poll() is None}

    def worker_of(self, application: str, executor: str) -> int | None:
        """The number of the worker that runs an executor; None if it has ended."""
        words = {b"--app-id", application.encode(), b"--executor-id", executor.encode()}
        for number, worker in self.workers().items():
            for pid in in_session(worker.pid):
                with suppress(OSError):
                    if words <= set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                        return number
        return None

    def kill_worker(self, number: int) -> None:
        """Kill a worker and all that it started, as when its machine dies."""
        kill_session(self.processes[number].pid)
        self.processes[number].wait(STOP_LIMIT_S)

    def start_master(self) -> bool:
        """Start the master; False if one of its ports was taken meanwhile."""
        ports = ["--port", str(self.port), "--webui-port", str(self.page)]
        process = self._start("master", "master.Master", *ports)
        return comes_up(process, self.port, limit_s=START_LIMIT_S)

    def stop(self) -> None:
        """Kill all of it; workers' executors end when they lose their worker."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, main: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{main}", "--host", LOOPBACK, *arguments]
        environment = os.environ | {
            "SPARK_DAEMON_JAVA_OPTS": JAVA,
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_HOME": str(HOME),
            **variables,
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process


@contextmanager
def spark_cluster(folder: Path, *workers: tuple[int, str]) -> Iterator[SparkCluster]:
    """A master with a worker for each pair of cores and memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(START_ATTEMPTS):
        cluster = SparkCluster(folder, free_port(), free_port())
        try:
            if cluster.start_master():
                for cores, memory in workers:
                    cluster.add_worker(cores, memory)
                cluster.wait_for_workers(len(workers))
                yield cluster
                return
        finally:
            cluster.stop()
    raise RuntimeError((folder / "master.log").read_text()[-2000:])
