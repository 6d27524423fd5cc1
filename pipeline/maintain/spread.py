"""Work for Spark's Python workers, given out by a few threads of the driver, in the order in which it is submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar
from uuid import uuid4

from pyspark.sql import SparkSession

from pipeline.model.errors import PipelineError
from pipeline.tables.failures import plain_failures

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 3
"""Attempts at an item whose error says that a retry may help: an upload that breaks must not end hours of work."""


@dataclass(frozen=True, slots=True)
class _Answering(Generic[T, R]):
    """Runs in a worker. An error of ours is an answer, if need be of the last attempt: Spark would repeat the task over
    a damaged file, too, and return only the words."""

    work: Callable[[T], R]

    def __call__(self, item: T) -> R | PipelineError:
        attempt = 1
        while True:
            try:
                return self.work(item)
            except PipelineError as error:
                if not error.retryable or attempt == ATTEMPTS:
                    return error
            attempt += 1


class Spread:
    """Runs functions on items in Spark's workers, as jobs with one task per item. A context manager.

    At its end it cancels what still runs, and waits for that. Functions, items and results travel pickled.

    Args:
        at_once: number of jobs that run at the same time; others wait, in order.
        where: the archive's root, for messages.
    """

    def __init__(self, spark: SparkSession, at_once: int, where: str) -> None:
        self._spark, self._where = spark, where
        self._tag = f"compact-{uuid4().hex}"
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="compact")

    def submit(self, work: Callable[[T], R], items: Sequence[T]) -> Future[list[R | PipelineError]]:
        """Begin a job; its result is the answer of each item, in order, or the error that the work raised.

        The future raises what is wrong with Spark itself, as ``plain_failures`` does.
        """
        return self._pool.submit(self._run, work, items)

    def _run(self, work: Callable[[T], R], items: Sequence[T]) -> list[R | PipelineError]:
        context = self._spark.sparkContext
        context.addJobTag(self._tag)
        with plain_failures(self._where):
            return context.parallelize(items, len(items)).map(_Answering(work)).collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if kind is not None:
            with suppress(PipelineError), plain_failures(self._where):  # the error that ends the block counts
                self._spark.sparkContext.cancelJobsWithTag(self._tag)
        self._pool.shutdown(wait=True)
