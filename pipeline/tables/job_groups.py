"""Spark's jobs of a thread in groups, one after the other: of each all can be cancelled, those to come too."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from uuid import uuid4

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types
from pyspark import SparkContext

GROUP = "spark.jobGroup.id"
"""The property of a thread that says which group its jobs belong to; ``setJobGroup`` would also describe them."""


class JobGroups:
    """Groups of jobs, numbered in the order in which they began. Where Spark has ended, nothing is done.

    Attributes:
        current: the name of the newest; "" before the first.
    """

    def __init__(self, context: SparkContext) -> None:
        self._context, self._prefix, self._numbers = context, uuid4().hex, count(1)
        self.current = ""

    def begin(self) -> None:
        """Let the jobs that this thread asks for from here on be a new group."""
        self.current = f"{self._prefix}-{next(self._numbers)}"
        if self._context._jsc is not None:
            with suppress(Py4JError):
                self._context.setLocalProperty(GROUP, self.current)

    def cancel(self, group: str) -> None:
        """Cancel a group, with what a query asks for that is still being planned, and all that runs now in others.

        To be called in another thread, which has its own connection to the JVM.
        """
        if self._context._jsc is not None:
            with suppress(Py4JError):
                self._context._jsc.sc().cancelJobGroupAndFutureJobs(group)
                self._context.cancelAllJobs()
