"""Spark's standalone master: its workers, and the last words of their executors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.redact import one_line
from pipeline.rules.cluster import MIB
from pipeline.rules.offer import Node, Offer
from pipeline.tables.masters.http import get, get_json
from pipeline.tables.masters.jvm import JavaObject, java_class, scala_object
from pipeline.tables.masters.master import Master

logger = logging.getLogger(__name__)

LAST_BYTES = 8192
"""How much of an executor's log may hold its reason."""

MOST_SILENT = 2
"""So many pages may keep one look at workers waiting: behind a firewall none of hundreds answers."""

_TIMEOUTS = {"spark.rpc.lookupTimeout": "10s", "spark.rpc.askTimeout": "10s", "spark.rpc.io.connectionTimeout": "10s"}
_MASTER = "Master"
"""The name under which a master answers."""


class Standalone(Master):
    """A master at ``spark://host:port``, or several with commas between them, of which one is active."""

    def __init__(self, url: str, asked: str, wait_s: float, jvm: JavaObject) -> None:
        super().__init__(url, asked, wait_s)
        self._jvm = jvm
        self._pages: list[str] = []

    def offer(self) -> Offer | None:
        """Living workers, with what is free if their pages can be read; None if no master answers."""
        found = self._state()
        if found is None:
            return None
        self._pages = [str(worker.webUiAddress()) for worker in found.workers()]
        free = self._workers_of_page()
        if free is not None:
            return Offer(tuple(_node(worker) for worker in free if worker.get("state") == "ALIVE"))
        return Offer(tuple(_whole(worker) for worker in found.workers()))

    def why_executors_died(self, application: str) -> str:
        """The last lines of the standard error of an executor of this application that ended."""
        for page, executor in self._ended(application):
            for log in ("stderr", "stdout"):  # Java complains of its own start in the second
                query = urlencode(
                    {"appId": application, "executorId": executor, "logType": log, "byteLength": LAST_BYTES}
                )
                words = _last_words((get(f"{page}/log/?{query}") or b"").decode(errors="replace"))
                if words:
                    return words
        return super().why_executors_died(application)

    def ended_executors(self, application: str) -> int:
        """Ended executors of an application on all workers, as far as these remember."""
        return sum(1 for _ in self._ended(application))

    def _ended(self, application: str) -> Iterator[tuple[str, str]]:
        """Ended executors of an application, each with the page of its worker."""
        if not self._pages:
            self.offer()
        for page, worker in self._answers():
            for executor in worker.get("finishedexecutors", []):
                if executor.get("appid") == application:
                    yield page, str(executor["id"])

    def _answers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Workers' pages, and what they say. Silent ones, each of which takes seconds, are not asked again."""
        silent: list[str] = []
        for page in self._pages:
            if len(silent) == MOST_SILENT:
                break
            worker = get_json(f"{page}/json/")
            if worker:
                yield page, worker
            else:
                silent.append(page)
        self._pages = [page for page in self._pages if page not in silent]

    def _state(self) -> JavaObject | None:
        """The active master's state. It has workers with all that they have, not with what is free."""
        for host in self.url.removeprefix("spark://").split(","):
            try:
                state = self._ask(f"spark://{host}")
            except Py4JError as error:
                logger.debug("%s does not answer", host, exc_info=error)
                continue
            if str(state.status()) == "ALIVE":
                return state
        return None

    def _ask(self, url: str) -> JavaObject:
        jvm = self._jvm
        conf = java_class(jvm, "org.apache.spark.SparkConf")(True)
        for key, value in _TIMEOUTS.items():
            conf.set(key, value)
        manager = java_class(jvm, "org.apache.spark.SecurityManager")
        entry = getattr(manager, "$lessinit$greater$default$3")()
        security = manager(conf, java_class(jvm, "scala.Option").empty(), entry)
        rpc = java_class(jvm, "org.apache.spark.rpc.RpcEnv").create("offer", "127.0.0.1", 0, conf, security, True)
        try:
            address = java_class(jvm, "org.apache.spark.rpc.RpcAddress").fromSparkURL(url)
            request = scala_object(jvm, "org.apache.spark.deploy.DeployMessages$RequestMasterState")
            any_class = scala_object(jvm, "scala.reflect.ClassTag").Any()
            return rpc.setupEndpointRef(address, _MASTER).askSync(request, any_class)
        finally:
            rpc.shutdown()

    def _workers_of_page(self) -> list[dict[str, Any]] | None:
        """The workers as the master's own page has them, which any worker's page names."""
        for _, worker in self._answers():
            master = worker.get("masterwebuiurl")
            workers = get_json(f"{str(master).rstrip('/')}/json/").get("workers") if master else None
            if isinstance(workers, list):
                return workers
        return None


def _node(worker: dict[str, Any]) -> Node:
    return Node(
        int(worker["cores"]),
        int(worker["memory"]) * MIB,
        int(worker["coresfree"]),
        int(worker["memoryfree"]) * MIB,
    )


def _whole(worker: JavaObject) -> Node:
    cores, memory = int(worker.cores()), int(worker.memory()) * MIB
    return Node(cores, memory, cores, memory)


def _last_words(log: str) -> str:
    """The part of an executor's log that may explain its end, as one line; "" if there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("====")]
    telling = [line for line in lines if not line.startswith(("Spark Executor Command:", "at ", "WARNING: Using"))]
    return one_line("; ".join(line for line in telling[-6:] if set(line) != {"="}))
