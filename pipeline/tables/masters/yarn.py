"""YARN: its nodes and applications, through its own client, which knows failovers and Kerberos."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.redact import one_line
from pipeline.rules.cluster import MIB
from pipeline.rules.offer import Node, Offer
from pipeline.tables.masters.errors import NoResources
from pipeline.tables.masters.jvm import JavaObject, apart, java_array, java_class, java_set
from pipeline.tables.masters.master import Master

logger = logging.getLogger(__name__)

CONNECT_WITHIN_MS = "60000"
"""How long YARN's client looks for a ResourceManager; its own default is a quarter of an hour."""

LOOK_EACH_S = 1.0

DEFAULT_UNIT_MB = 1024
"""YARN's own default of its smallest container."""

_RECORDS = "org.apache.hadoop.yarn.api.records"
_ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
_WAITING = frozenset({"NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED"})


@dataclass(frozen=True, slots=True)
class Report:
    """An application as YARN sees it; ``state`` and ``final`` are YARN's words."""

    state: str
    final: str
    diagnostics: str
    tracking_url: str

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in _ENDED

    @property
    def waiting(self) -> bool:
        """Whether its first container has not started yet."""
        return self.state in _WAITING


@dataclass(frozen=True, slots=True)
class Container:
    """A container, and the web address of its node."""

    id: str
    node_url: str


class Yarn(Master):
    """The YARN that Hadoop's configuration names.

    Args:
        tag: the tag of the application, by which it is found before its id is known.
        staging: the folder for what is uploaded, as in ``spark.yarn.stagingDir``; "" for the user's own.
    """

    def __init__(self, asked: str, wait_s: float, jvm: JavaObject, tag: str, staging: str = "") -> None:
        super().__init__("yarn", asked, wait_s)
        self._jvm, self._tag, self._staging = jvm, tag, staging
        self._conf = conf = java_class(jvm, "org.apache.hadoop.yarn.conf.YarnConfiguration")()
        conf.set("yarn.resourcemanager.connect.max-wait.ms", CONNECT_WITHIN_MS)
        self._client = java_class(jvm, "org.apache.hadoop.yarn.client.api.YarnClient").createYarnClient()
        self._client.init(conf)
        self._client.start()

    def offer(self) -> Offer:
        """The running nodes, and the limits of one container. Queues and their limits are not looked at."""
        running = java_class(self._jvm, f"{_RECORDS}.NodeState").RUNNING
        reports = self._client.getNodeReports(java_array(self._jvm, f"{_RECORDS}.NodeState", running))
        most = self._client.createApplication().getNewApplicationResponse().getMaximumResourceCapability()
        return Offer(
            tuple(_node(report) for report in reports),
            int(self._conf.getInt("yarn.scheduler.minimum-allocation-mb", DEFAULT_UNIT_MB)) * MIB,
            int(most.getVirtualCores()),
            int(most.getMemorySize()) * MIB,
        )

    def report(self, application: str) -> Report:
        """The state of an application."""
        found = self._client.getApplicationReport(self._id(application))
        return Report(
            str(found.getYarnApplicationState()),
            str(found.getFinalApplicationStatus()),
            str(found.getDiagnostics() or ""),
            str(found.getTrackingUrl() or ""),
        )

    def driver_container(self, application: str) -> Container | None:
        """The container of an application's master; None before it has one, and some time after its end."""
        try:
            report = self._client.getApplicationReport(self._id(application))
            attempt = self._client.getApplicationAttemptReport(report.getCurrentApplicationAttemptId())
            container = self._client.getContainerReport(attempt.getAMContainerId())
            return Container(str(container.getContainerId()), str(container.getNodeHttpAddress()).rstrip("/"))
        except Py4JError as error:
            logger.debug("application %s has no container of its master", application, exc_info=error)
            return None

    def kill(self, application: str) -> None:
        """End an application, whatever its state, and delete what was uploaded for it; after an interrupt too."""
        if not apart(lambda: self._client.killApplication(self._id(application))):
            logger.warning(
                "YARN did not end application %s, which may still run: yarn application -kill %s",
                application,
                application,
            )
        elif not apart(lambda: self._delete_staged(application)):
            logger.warning("files of application %s are left in .sparkStaging", application)

    def _delete_staged(self, application: str) -> None:
        """Delete what a driver's submitter uploaded: its configuration file, too. A killed driver leaves it there."""
        path_class = java_class(self._jvm, "org.apache.hadoop.fs.Path")
        home = java_class(self._jvm, "org.apache.hadoop.fs.FileSystem").get(self._conf).getHomeDirectory()
        base = path_class(self._staging) if self._staging else home
        folder = path_class(base, f".sparkStaging/{application}")
        folder.getFileSystem(self._conf).delete(folder, True)

    def kill_tagged(self) -> None:
        """End the application with our tag, if there is one that has not ended; for use after an interrupt too."""
        if not apart(self._kill_tagged):
            logger.warning(
                "YARN did not say whether our application runs: yarn application -list -appTags %s", self._tag
            )

    def _kill_tagged(self) -> None:
        for application, state in self._tagged():
            if state not in _ENDED:
                self._client.killApplication(self._id(application))

    def why_executors_died(self, application: str) -> str:
        """YARN's diagnostics."""
        try:
            report = self.report(application)
        except Py4JError as error:
            logger.debug("YARN does not answer", exc_info=error)
            return super().why_executors_died(application)
        return one_line(report.diagnostics) or f"look at {report.tracking_url or application}"

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Say so when YARN does not start the application's master, and end the application after ``wait_s``.

        Raises:
            NoResources: YARN started nothing in time.
        """
        done, gave_up = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(done, gave_up), daemon=True, name="yarn-wait")
        watch.start()
        try:
            yield
        except BaseException as error:
            done.set()
            watch.join()
            if gave_up.is_set():
                raise NoResources(self.url, self.asked, self.offered(), self.wait_s) from error
            self.kill_tagged()
            raise
        finally:
            done.set()

    def _watch(self, done: threading.Event, gave_up: threading.Event) -> None:
        """Look at the application until it has started. Its wait begins when YARN has it: uploads may be long."""
        since: float | None = None
        told = False
        while not done.wait(min(LOOK_EACH_S, self.say_after_s)):
            states = self._states()
            if states - _WAITING:
                return
            if states and since is None:
                since = time.monotonic()
            waited = 0.0 if since is None else time.monotonic() - since
            if waited > self.wait_s:
                gave_up.set()
                self.kill_tagged()
            elif waited > self.say_after_s and not told:
                told = True
                self.tell_wait()

    def _states(self) -> set[str]:
        """The states of the applications with our tag; none if YARN does not answer now."""
        try:
            return {state for _, state in self._tagged()}
        except Py4JError as error:
            logger.debug("YARN does not answer", exc_info=error)
            return set()

    def _tagged(self) -> list[tuple[str, str]]:
        """Ids and states of the applications with our tag."""
        states = java_class(self._jvm, "java.util.EnumSet").allOf(
            java_class(self._jvm, "java.lang.Class").forName(f"{_RECORDS}.YarnApplicationState")
        )
        jvm = self._jvm
        found = self._client.getApplications(java_set(jvm, "SPARK"), states, java_set(jvm, self._tag))
        return [(str(report.getApplicationId()), str(report.getYarnApplicationState())) for report in found]

    def _id(self, application: str) -> JavaObject:
        return java_class(self._jvm, f"{_RECORDS}.ApplicationId").fromString(application)


def _node(report: JavaObject) -> Node:
    has, used = report.getCapability(), report.getUsed()
    cores, memory = int(has.getVirtualCores()), int(has.getMemorySize()) * MIB
    if used is None:
        return Node(cores, memory, cores, memory)
    return Node(
        cores,
        memory,
        max(cores - int(used.getVirtualCores()), 0),
        max(memory - int(used.getMemorySize()) * MIB, 0),
    )
