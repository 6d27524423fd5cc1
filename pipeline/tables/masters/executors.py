"""The wait for executors: of a new session for its first one, of a running one for another when it has lost all."""

from __future__ import annotations

import logging
import threading
import time

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types
from pyspark import SparkContext

from pipeline.tables.masters.errors import ExecutorsDied, NoResources
from pipeline.tables.masters.jvm import JavaObject
from pipeline.tables.masters.master import POLL_S, Master, Wait

logger = logging.getLogger(__name__)

LOOK_EACH_S = 2.0

MOST_ENDED = 5
"""So many executors that ended before one answered are no accident. A standalone master starts others for ever."""

WATCH_EACH_S = 5.0

_GAVE_UP: list[NoResources] = []
"""Why Spark was ended, if it was: this process has one."""


def await_executor(context: SparkContext, master: Master) -> None:
    """Wait until the context has an executor, and say so if that takes long.

    Raises:
        NoResources: it had none in time.
        ExecutorsDied: the master ended the application, as it does when executors fail again and again.
    """
    application = str(context.applicationId)
    scala = context._jsc.sc()
    wait = Wait(master)
    look = time.monotonic() + LOOK_EACH_S
    while not _has_executor(scala):
        if scala.isStopped():
            raise ExecutorsDied(master.url, master.why_executors_died(application))
        if time.monotonic() > look:
            look = time.monotonic() + LOOK_EACH_S
            if master.ended_executors(application) >= MOST_ENDED:
                raise ExecutorsDied(master.url, master.why_executors_died(application))
        wait.check()
        time.sleep(POLL_S)


def _has_executor(scala: JavaObject) -> bool:
    """Whether a context that has not stopped has another executor than its driver, which counts as one."""
    try:
        return not scala.isStopped() and len(scala.statusTracker().getExecutorInfos()) > 1
    except Py4JJavaError:
        if scala.isStopped():
            return False
        raise


def watch_executors(context: SparkContext, master: Master) -> None:
    """From now on say so when all executors are lost, and end Spark if no other comes in time: its jobs would wait for
    ever. ``why_ended`` then says why."""
    watch = threading.Thread(target=_watch, args=(context, context._jsc.sc(), master), daemon=True, name="executors")
    watch.start()


def why_ended() -> NoResources | None:
    """Why the watch has ended this process's Spark; None if it has not."""
    return _GAVE_UP[0] if _GAVE_UP else None


def _watch(context: SparkContext, scala: JavaObject, master: Master) -> None:
    lost_at: float | None = None
    told = False
    while True:
        time.sleep(WATCH_EACH_S)
        if context._jsc is None:
            return
        try:
            if scala.isStopped():
                return
            lost = not _has_executor(scala)
        except (Py4JError, OSError) as error:  # also when a fork has cut this thread's connection, or the JVM ends
            logger.debug("Spark does not say what executors it has", exc_info=error)
            continue
        if not lost:
            lost_at, told = None, False
            continue
        lost_at = time.monotonic() if lost_at is None else lost_at
        waited = time.monotonic() - lost_at
        if waited > master.wait_s:
            _GAVE_UP.append(NoResources(master.url, master.asked, master.offered(), master.wait_s))
            scala.stop()
            return
        if waited > master.say_after_s and not told:
            told = True
            logger.warning("all executors are lost")
            master.tell_wait()
