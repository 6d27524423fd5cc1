"""An application whose driver is a pod of Kubernetes: submitted, followed to its end, ended with its submitter."""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.errors import ExitCode
from pipeline.model.redact import one_line
from pipeline.tables.masters.application import NO_MEMORY, Program, ask_again, await_submitted, launcher
from pipeline.tables.masters.errors import OUT_OF_MEMORY, ApplicationFailed
from pipeline.tables.masters.interrupts import Interrupts
from pipeline.tables.masters.jvm import JavaObject, apart, java_array, java_class
from pipeline.tables.masters.kubernetes import NAMESPACE, Kubernetes
from pipeline.tables.masters.master import Wait
from pipeline.tables.masters.pods import Pod, pod, waiting
from pipeline.tables.masters.project import kept_folder

logger = logging.getLogger(__name__)

POLL_S = 1.0

POD_NAME = "spark.kubernetes.driver.pod.name"
STAGING = "spark.kubernetes.file.upload.path"

_HADOOP = "spark.hadoop."
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
"""How Kubernetes begins a line of a log: a time, in nanoseconds and in the node's zone."""

_END_WITHIN_S = 20.0
"""A submission that nobody waits for any more may make its pod so much later."""

_FULL_HEAP = "Terminating due to java.lang.OutOfMemoryError"
"""What Java says before it ends with the status ``OUT_OF_MEMORY``, which Python uses for damaged data."""


def pod_settings(job: str) -> dict[str, str]:
    """Settings that name the driver's pod before it exists, so that an interrupt finds it at any time."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in job.lower()).strip("-")[:30] or "job"
    return {
        POD_NAME: f"git-lakehouse-{plain}-{uuid4().hex[:10]}",
        "spark.kubernetes.submission.waitAppCompletion": "false",
    }


class DriverPod(Kubernetes):
    """The driver's pod, from before its submission until it is deleted.

    Args:
        asked: what it asks for, in words.
        conf: all settings of the application; ``pod_settings`` and ``STAGING`` are among them.
    """

    def __init__(self, url: str, asked: str, wait_s: float, jvm: JavaObject, conf: Mapping[str, str]) -> None:
        super().__init__(url, asked, wait_s, jvm, conf)
        self._jvm, self._conf = jvm, conf
        self.name, self.namespace = conf[POD_NAME], conf[NAMESPACE]
        self._path = f"{self._api.pods}/{self.name}"
        self._since = ""
        self._handle: JavaObject | None = None

    def submit(self, name: str, program: Program, interrupts: Interrupts) -> None:
        """Have Spark upload what the driver needs, and make its pod.

        Raises:
            ApplicationFailed: it could not be submitted.
        """
        try:
            self._submit(name, program, interrupts)
        except BaseException:
            self.delete()
            if self._handle is not None and apart(partial(_await_final, self._handle), within_s=_END_WITHIN_S + 1):
                self.delete()
            raise

    def _submit(self, name: str, program: Program, interrupts: Interrupts) -> None:
        made = launcher(self._jvm, self.url, name, program, self._conf)
        for alias, file in program.files.items():
            renamed = kept_folder() / alias  # Spark ships files under their own names here
            if file.absolute() != renamed:
                shutil.copyfile(file, renamed)
            made.addFile(renamed.as_uri())
        folder = self._staging()
        only_ours = java_class(self._jvm, "org.apache.hadoop.fs.permission.FsPermission")("700")
        # A configuration that is uploaded may have a token.
        folder.getFileSystem(_hadoop(self._jvm, self._conf)).mkdirs(folder, only_ours)
        handle = made.startApplication(java_array(self._jvm, "org.apache.spark.launcher.SparkAppHandle$Listener"))
        self._handle = handle
        await_submitted(handle, lambda: self.look() if _was_submitted(handle) else None, interrupts)

    def look(self) -> Pod | None:
        """The pod as it is; None if there is none."""
        found = json.loads(self._api.text(self._path) or "{}")
        return pod(found) if found.get("kind") == "Pod" else None

    def offered(self) -> str:
        """What the nodes offer, and why the driver waits."""
        try:
            found = self.look()
        except Py4JError:
            found = None
        return "; ".join(filter(None, [super().offered(), waiting([found] if found else [])]))

    def lines(self) -> Iterator[str]:
        """Lines of its log since the last call; none if there is no log now.

        Kubernetes gives lines from a whole second on, each with its time in nanoseconds: known ones are left out, and
        so is what has no time, the rest of a line that it has cut.
        """
        since = {"sinceTime": f"{self._since[:19]}Z"} if self._since else {}
        try:
            said = self._api.text(f"{self._path}/log", timestamps="true", **since)
        except Py4JError as error:
            logger.debug("no log of %s", self.name, exc_info=error)
            return
        for line in said.split("\n"):  # what was printed may have other ends of lines in it
            stamp = _STAMP.match(line)
            at = "" if stamp is None else _in_utc(*stamp.groups())
            if stamp is not None and at > self._since:
                self._since = at
                yield line[stamp.end() :].rstrip("\r")

    def delete(self) -> None:
        """End the driver and with it its executors, and delete what was uploaded; after an interrupt too."""
        if not apart(lambda: self._api.delete(self._path)):
            logger.warning("the driver may still run: kubectl delete pod -n %s %s", self.namespace, self.name)
        self.delete_staged()

    def delete_staged(self) -> None:
        """Delete what was uploaded."""
        if not apart(self._delete_staged):
            logger.warning("files of %s are left in %s", self.name, self._conf[STAGING])

    def _delete_staged(self) -> None:
        folder = self._staging()
        folder.getFileSystem(_hadoop(self._jvm, self._conf)).delete(folder, True)

    def _staging(self) -> JavaObject:
        return java_class(self._jvm, "org.apache.hadoop.fs.Path")(self._conf[STAGING])


def _await_final(handle: JavaObject) -> None:
    """Wait until Spark's launcher has done what it was about to do."""
    until = time.monotonic() + _END_WITHIN_S
    while not handle.getState().isFinal() and time.monotonic() < until:
        time.sleep(POLL_S)


def _in_utc(second: str, fraction: str | None, zone: str) -> str:
    """A time as text that sorts."""
    utc = datetime.fromisoformat(f"{second}{zone.replace('Z', '+00:00')}").astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{fraction or '':0<9}"


def _was_submitted(handle: JavaObject) -> bool:
    """Whether Spark has made all that belongs to the driver, not only its pod."""
    return bool(handle.getState().isFinal() and not handle.getError().isPresent())


def staging(jvm: JavaObject, conf: Mapping[str, str], root_uri: str) -> str:
    """The folder for what is uploaded for a driver: in the configured one, or in the user's home beside an archive."""
    path_class = java_class(jvm, "org.apache.hadoop.fs.Path")
    base = conf.get(STAGING)
    if base is None:
        home = path_class(root_uri).getFileSystem(_hadoop(jvm, conf)).getHomeDirectory()
        base = f"{home}/.sparkStaging"
    return f"{base}/{conf[POD_NAME]}"


def _hadoop(jvm: JavaObject, conf: Mapping[str, str]) -> JavaObject:
    """Hadoop's configuration with our settings of it."""
    made = java_class(jvm, "org.apache.hadoop.conf.Configuration")()
    for key, value in conf.items():
        if key.startswith(_HADOOP):
            made.set(key.removeprefix(_HADOOP), value)
    return made


def follow(driver: DriverPod, show: Callable[[str], None], interrupts: Interrupts) -> None:
    """Show what the driver says until it ends. One that failed is left, for its log; all else is deleted.

    Raises:
        NoResources: it did not start in time.
        ApplicationFailed: it ended with a failure, or was deleted.
    """
    try:
        last, full_heap = _until_end(driver, show, interrupts)
    except BaseException:
        driver.delete()
        raise
    if last is not None and last.phase == "Succeeded":
        driver.delete()
        return
    driver.delete_staged()
    raise failure(driver.namespace, driver.name, last, full_heap=full_heap)


def failure(namespace: str, name: str, last: Pod | None, *, full_heap: bool) -> ApplicationFailed:
    """Why a driver did not succeed, with its exit code if it had one."""
    failed = int(ExitCode.RUN_FAILED)
    if last is None:
        return ApplicationFailed(name, "its pod was deleted", failed)
    reason, code = last.reason or last.phase, last.code if last.code is not None else failed
    if "OOMKilled" in reason or (full_heap and code == OUT_OF_MEMORY):
        reason, code = f"{NO_MEMORY}. Kubernetes says: {reason}", failed
    return ApplicationFailed(name, one_line(reason), code, f"kubectl logs -n {namespace} {name}")


def _until_end(driver: DriverPod, show: Callable[[str], None], interrupts: Interrupts) -> tuple[Pod | None, bool]:
    """The pod at its end, None if it was deleted, and whether Java said that its heap was full."""
    wait = Wait(driver)
    full_heap = told = False
    what = f"the driver {driver.name}"
    while True:
        found = ask_again(driver.look, "Kubernetes", what, interrupts)
        if found is None:
            return None, full_heap
        if found.phase == "Pending":
            wait.check()
        else:
            if not told:
                told = True
                logger.info("driver %s runs in %s", driver.name, driver.namespace)
            for line in driver.lines():
                full_heap = full_heap or line.startswith(_FULL_HEAP)
                show(line)
        if found.ended:
            return found, full_heap
        time.sleep(POLL_S)
