"""The wait of a new session for its first executor."""

from __future__ import annotations

import time

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types
from pyspark import SparkContext

from pipeline.masters.errors import ExecutorsDied, NoResources
from pipeline.masters.jvm import JavaObject
from pipeline.masters.master import Master

POLL_S = 0.2
LOOK_EACH_S = 2.0

MOST_ENDED = 5
"""So many executors that ended before one answered are no accident. A standalone master starts others for ever."""


def await_executor(context: SparkContext, master: Master) -> None:
    """Wait until the context has an executor, and say so if that takes long.

    Raises:
        NoResources: it had none in time.
        ExecutorsDied: the master ended the application, as it does when executors fail again and again.
    """
    application = str(context.applicationId)
    scala = context._jsc.sc()
    began = time.monotonic()
    told = False
    look = began + LOOK_EACH_S
    while not _has_executor(scala):
        if scala.isStopped():
            raise ExecutorsDied(master.url, master.why_executors_died(application))
        if time.monotonic() > look:
            look = time.monotonic() + LOOK_EACH_S
            if master.ended_executors(application) >= MOST_ENDED:
                raise ExecutorsDied(master.url, master.why_executors_died(application))
        waited = time.monotonic() - began
        if waited > master.wait_s:
            raise NoResources(master.url, master.asked, master.offered(), master.wait_s)
        if not told and waited > master.say_after_s:
            told = True
            master.tell_wait()
        time.sleep(POLL_S)


def _has_executor(scala: JavaObject) -> bool:
    """Whether a context that has not stopped has another executor than its driver, which counts as one."""
    try:
        return not scala.isStopped() and len(scala.statusTracker().getExecutorInfos()) > 1
    except Py4JJavaError:
        if scala.isStopped():
            return False
        raise
