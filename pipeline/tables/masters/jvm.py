"""This process's JVM, before there is a session in it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseServer
from typing import Any, NoReturn

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types
from pyspark import SparkConf, SparkContext, java_gateway
from pyspark.accumulators import AccumulatorTCPServer, AccumulatorUnixServer

from pipeline.tables.masters.errors import DriverDied
from pipeline.tables.masters.interrupts import before_end, looked_for

logger = logging.getLogger(__name__)

END_WITHIN_S = 30.0
"""How long a JVM may take to end its application."""

APART_WITHIN_S = 90.0
"""How long a cluster may take to end an application, or a storage to delete its files."""

ENDING_WITHIN_S = 5.0
"""How long a JVM that no longer answers may take to be gone."""

_HEAP: list[str] = []
"""The heap of this process's JVM, as its setting has it."""

_OWNER: list[int] = [os.getpid()]
"""The process that started the JVM. A child that is forked from it sees the same object, but not how the JVM is."""

_ASKED_FOR = (
    "functions",
    "PythonUtils",
    "PythonSQLUtils",
    "org.apache.spark.sql.functions",
    "org.apache.spark.sql.classic.SparkSession",
    "org.apache.spark.sql.catalyst.trees.PySparkCurrentOrigin",
)
"""Names by which PySpark asks the JVM for a class for every column and frame: 3,000 times a night."""

JavaObject = Any
"""Proxy that py4j makes for any object of the JVM; it has no static type."""


def started_jvm(conf: Mapping[str, str]) -> JavaObject:
    """The JVM, started with these settings unless it runs; they stand on its command line.

    A session that is opened later runs in it.
    """
    if SparkContext._jvm is None:
        wanted = SparkConf(loadDefaults=False)
        wanted.setAll(list(conf.items()))
        _OWNER[:] = [os.getpid()]
        _HEAP[:] = [conf.get("spark.driver.memory", "1g")]
        before_end(end_jvm)
        for server in (AccumulatorTCPServer, AccumulatorUnixServer):
            server.handle_error = _no_traceback  # type: ignore[assignment]  # of a class
        with _launching():
            SparkContext._ensure_initialized(conf=wanted)
        for name in _ASKED_FOR:
            java_class(SparkContext._jvm, name)
    return SparkContext._jvm


def _no_traceback(_server: BaseServer, _request: object, _address: object) -> None:
    """Where accumulators arrive, PySpark would print one of the JVM's hanging up, however it ends."""


@contextmanager
def _launching() -> Iterator[None]:
    """End what the block has launched if it does not end well. A JVM that nobody talks to would wait for ever."""
    popen = vars(java_gateway)["Popen"]
    launched: list[subprocess.Popen[bytes]] = []

    def launch(*words: Any, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as they come
        with looked_for():
            launched.append(popen(*words, **options))
        return launched[-1]

    vars(java_gateway)["Popen"] = launch  # PySpark keeps the process to itself until it answers
    try:
        yield
    except BaseException:
        for process in launched:
            _kill_tree(process.pid)
            process.wait()
        raise
    finally:
        vars(java_gateway)["Popen"] = popen


def why_died(*, wait: bool) -> DriverDied | None:
    """How this process's JVM has ended although nobody asked it to; None if it runs, or is not ours.

    Args:
        wait: it has just failed to answer, and may be about to end.
    """
    process: subprocess.Popen[bytes] | None = getattr(SparkContext._gateway, "proc", None)
    if process is None or os.getpid() not in _OWNER:
        return None
    if wait:
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_WITHIN_S)
    status = process.poll()
    return None if status is None else DriverDied(status, "".join(_HEAP))


def await_death() -> NoReturn:
    """Wait for as long as this process's JVM runs, which must be ours.

    Raises:
        DriverDied: it has ended although nobody asked it to.
    """
    gateway = SparkContext._gateway
    assert gateway is not None  # the JVM runs
    process: subprocess.Popen[bytes] = gateway.proc
    process.wait()
    raise DriverDied(process.returncode, "".join(_HEAP))


def end_jvm() -> None:
    """End this process's JVM, and with it its application and all Python workers; an interrupt ends the patience."""
    process: subprocess.Popen[bytes] | None = getattr(SparkContext._gateway, "proc", None)
    if process is None or process.poll() is not None:
        return
    assert process.stdin is not None  # PySpark makes a pipe of it
    family: list[int] = []
    for pid in _family(process.pid):
        with suppress(ProcessLookupError):  # a Python worker may end at any time
            family.append(os.pidfd_open(pid))
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.stdin.close()  # whereupon it ends
        process.wait(END_WITHIN_S)
    for member in family:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(member, signal.SIGKILL)
        os.close(member)
    process.wait()


def _kill_tree(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # otherwise it could start another meanwhile
        for child in _children(pid):
            _kill_tree(child)
        os.kill(pid, signal.SIGKILL)


def _family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for child in _children(pid):
        yield from _family(child)


def _children(pid: int) -> list[int]:
    threads: list[Path] = []
    with suppress(OSError):
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    found: list[int] = []
    for thread in threads:
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def java_class(jvm: JavaObject, name: str) -> JavaObject:
    """A class by its full name, with ``$`` before names of inner ones.

    It becomes an attribute of the JVM's proxy: otherwise py4j asks Java each time, which looks for some in all jars.
    """
    found = getattr(jvm, name)
    setattr(jvm, name, found)
    return found


def scala_object(jvm: JavaObject, name: str) -> JavaObject:
    """A Scala object by its full name without the last ``$``."""
    return getattr(java_class(jvm, f"{name}$"), "MODULE$")


def java_array(jvm: JavaObject, class_name: str, *members: JavaObject) -> JavaObject:
    """An array, as methods with a variable number of arguments take it."""
    gateway = SparkContext._gateway
    assert gateway is not None  # the JVM runs
    array = gateway.new_array(java_class(jvm, class_name), len(members))
    for index, member in enumerate(members):
        array[index] = member
    return array


def java_set(jvm: JavaObject, *members: str) -> JavaObject:
    """A set of strings."""
    made = java_class(jvm, "java.util.HashSet")()
    for member in members:
        made.add(member)
    return made


def apart(action: Callable[[], object], within_s: float = APART_WITHIN_S) -> bool:
    """Do it in a thread of its own, which has its own connection to the JVM: an interrupt may have cut this one's.

    Returns:
        Whether it was done within this time.
    """
    done = threading.Event()

    def run() -> None:
        try:
            action()
        except Py4JError as error:
            logger.debug("no answer", exc_info=error)
        else:
            done.set()

    thread = threading.Thread(target=run, daemon=True, name="apart")
    thread.start()
    thread.join(within_s)
    return done.is_set()
