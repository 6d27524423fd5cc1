"""An application whose driver runs on a node of YARN: submitted, followed to its end, ended with its submitter."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import TypeVar

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.errors import ExitCode
from pipeline.model.redact import one_line
from pipeline.tables.masters.driver_log import DriverLog
from pipeline.tables.masters.errors import OUT_OF_MEMORY, ApplicationFailed
from pipeline.tables.masters.interrupts import Interrupts
from pipeline.tables.masters.jvm import JavaObject, java_array, java_class
from pipeline.tables.masters.master import Wait
from pipeline.tables.masters.yarn import Report, Yarn

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 1.0
SUBMIT_WITHIN_S = 600.0
"""Jars of hundreds of megabytes may have to be uploaded first."""

SILENT_WITHIN_S = 300.0
"""How long YARN may fail to answer before its application is given up: a ResourceManager restarts within minutes."""

_EXITED = re.compile(r"exited with (?:status )?(\d+)")
_CONTAINER_EXITED = r"AM Container for \S+ exited with\s+exitCode: "
_NO_MEMORY = re.compile(rf"{_CONTAINER_EXITED}(?:{OUT_OF_MEMORY}|-104|-103)\b")
"""A full heap, and YARN's own codes of containers that take more memory than they may."""

_KILLED = re.compile(rf"(?:{_CONTAINER_EXITED}|User application exited with (?:status )?){128 + SIGKILL}\b")
"""The driver's Java, or its Python."""

NO_MEMORY = (
    "the driver ran out of memory: let fewer rows come to it, or raise spark.driver_memory for Java, "
    "spark.driver.memoryOverhead in [spark.conf] for Python"
)
KILLED_IN_YARN = (
    "the driver was killed, as by a node that has no memory left: let fewer rows come to it, free memory there, or "
    "lower spark.driver_memory"
)


@dataclass(frozen=True, slots=True)
class Program:
    """What a driver runs.

    Attributes:
        file: the Python file.
        packages: archives that it and all executors import from.
        files: names in the driver's and executors' current folder, with the local files that are shipped there.
    """

    file: Path
    arguments: Sequence[str]
    packages: Sequence[Path]
    files: Mapping[str, Path]


def submit(
    jvm: JavaObject, yarn: Yarn, name: str, program: Program, conf: Mapping[str, str], interrupts: Interrupts
) -> str:
    """Submit an application and return its id.

    Args:
        yarn: has the tag that ``conf`` gives the application.
        name: shown in YARN.
        interrupts: one ends the application.

    Raises:
        ApplicationFailed: it could not be submitted.
    """
    made = launcher(jvm, "yarn", name, program, conf)
    for alias, file in program.files.items():
        made.addFile(f"{file.absolute().as_uri()}#{alias}")
    try:
        handle = made.startApplication(java_array(jvm, "org.apache.spark.launcher.SparkAppHandle$Listener"))
        return str(await_submitted(handle, handle.getAppId, interrupts))
    except BaseException:
        yarn.kill_tagged()
        raise


def launcher(jvm: JavaObject, master: str, name: str, program: Program, conf: Mapping[str, str]) -> JavaObject:
    """Spark's launcher of a driver elsewhere; ``program.files`` are still to be added."""
    made = java_class(jvm, "org.apache.spark.launcher.InProcessLauncher")()
    made.setMaster(master).setDeployMode("cluster").setAppName(name)
    for key, value in conf.items():
        made.setConf(key, value)
    for package in program.packages:
        made.addPyFile(str(package))
    made.setAppResource(str(program.file))
    made.addAppArgs(java_array(jvm, "java.lang.String", *program.arguments))
    return made


def await_submitted(handle: JavaObject, find: Callable[[], T | None], interrupts: Interrupts) -> T:
    """What a submission has made, as soon as it is there.

    Args:
        find: looks for it; None as long as there is nothing.

    Raises:
        ApplicationFailed: it could not be submitted.
    """
    until = time.monotonic() + SUBMIT_WITHIN_S
    while True:
        interrupts.check()
        ended = handle.getState().isFinal()
        found = find()
        if found is not None:
            return found
        if ended or time.monotonic() > until:
            error = handle.getError()
            reason = str(error.get()) if error.isPresent() else f"not submitted after {SUBMIT_WITHIN_S:g} s"
            raise ApplicationFailed("(none)", one_line(reason), int(ExitCode.RUN_FAILED))
        time.sleep(0.1)


def follow(yarn: Yarn, application: str, show: Callable[[str], None], interrupts: Interrupts) -> None:
    """Show what the driver says until the application ends.

    Args:
        show: is called with each line of the driver's log.
        interrupts: one ends the application, as does any error here.

    Raises:
        NoResources: YARN did not start the driver in time.
        ApplicationFailed: it ended with a failure, or was killed.
    """
    try:
        report = _until_end(yarn, application, show, interrupts)
        if report.final != "SUCCEEDED":
            raise failure(application, report)
    except BaseException:
        yarn.kill(application)  # a driver that was killed, or whose heap was full, has deleted nothing
        raise


def failure(application: str, report: Report) -> ApplicationFailed:
    """Why an application did not succeed, with the driver's exit code if it had one."""
    code = _EXITED.search(report.diagnostics)
    told = report.diagnostics.strip() or f"YARN says {report.state}, {report.final}"
    for meant, words in ((_NO_MEMORY, NO_MEMORY), (_KILLED, KILLED_IN_YARN)):
        if meant.search(report.diagnostics):
            told = f"{words}. YARN says: {told.splitlines()[0]}"
    logs = f"yarn logs -applicationId {application}"
    return ApplicationFailed(application, one_line(told), int(code[1]) if code else int(ExitCode.RUN_FAILED), logs)


def _until_end(yarn: Yarn, application: str, show: Callable[[str], None], interrupts: Interrupts) -> Report:
    wait = Wait(yarn)
    log: DriverLog | None = None
    told_page = False
    what = f"application {application}"
    while True:
        report = ask_again(lambda: yarn.report(application), "YARN", what, interrupts)
        if report.waiting:
            wait.check()
        elif log is None and (container := yarn.driver_container(application)) is not None:
            log = DriverLog(container)
        if report.state == "RUNNING" and not told_page:
            told_page = True
            logger.info("application %s runs, its page: %s", application, report.tracking_url)
        if log is not None:
            for line in log.lines(last=report.ended):
                show(line)
        if report.ended:
            return report
        time.sleep(POLL_S)


def ask_again(ask: Callable[[], T], whom: str, what: str, interrupts: Interrupts) -> T:
    """How an application is, asked for again while the cluster fails to answer: it may run on.

    Args:
        whom, what: the cluster's and the application's names, for the log.

    Raises:
        Py4JJavaError: there was none for ``SILENT_WITHIN_S``.
    """
    began = time.monotonic()
    while True:
        interrupts.check()
        try:
            return ask()
        except Py4JJavaError as error:
            if time.monotonic() - began > SILENT_WITHIN_S:
                raise
            logger.warning("%s does not say how %s is; it is asked again", whom, what)
            logger.debug("details", exc_info=error)
            time.sleep(POLL_S)
