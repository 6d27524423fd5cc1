"""Work on many items of which some may be at fault: the others are done anyway."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pyspark.sql import SparkSession

from pipeline.model.errors import PipelineError
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.damage import find_damaged
from pipeline.tables.failures import SparkFailed, plain_failures

T = TypeVar("T")

_OF_BUCKET = re.compile(r"/bucket=([0-9]+)/")


@dataclass(slots=True)
class Isolated(Generic[T]):
    """Results of the work, possibly done in parts, and why it failed on some items."""

    done: list[T] = field(default_factory=list)
    failed: dict[int, PipelineError] = field(default_factory=dict)


def isolate_buckets(
    spark: SparkSession,
    storage: Storage,
    buckets: Collection[int],
    work: Callable[[list[int]], T],
    suspects: Collection[int] = (),
) -> Isolated[T]:
    """Do work on all buckets at once; if it fails, on those that are not to blame.

    The name of the damaged file shows which bucket is to blame; otherwise halving finds it, and reading its files finds
    the file. Work may run again on a bucket after it failed on that bucket together with others.

    Args:
        suspects: buckets that each get a turn of their own.

    Raises:
        StoredFileDamaged: a damaged file belongs to no bucket, such as the metadata of a table.
        SparkFailed: Spark itself fails, or the work fails on all of several buckets, so no data is to blame.
        PipelineError: any other error of the work.
    """
    parts = [sorted(set(buckets) - set(suspects)), *([bucket] for bucket in sorted(set(suspects) & set(buckets)))]

    def blame(error: PipelineError, some: list[int]) -> int | None:
        if not isinstance(error, StoredFileDamaged) or not error.path:
            return None
        found = _OF_BUCKET.search(error.path)
        if found is None or int(found[1]) not in some:
            raise error
        return int(found[1])

    result = _isolate(spark, storage.root_uri, parts, work, blame)
    strange = [error for error in result.failed.values() if isinstance(error, SparkFailed)]
    if len(strange) > 1 and not result.done:
        raise strange[0]
    for bucket, error in result.failed.items():
        if isinstance(error, StoredFileDamaged) and not error.path:
            result.failed[bucket] = find_damaged(spark, storage, [bucket]) or error
    return result


def isolate_networks(
    spark: SparkSession, where: str, networks: Collection[int], work: Callable[[list[int]], T]
) -> Isolated[T]:
    """The same for networks of one bucket, whose damaged files are not the fault of any network.

    Raises:
        StoredFileDamaged: a file is damaged.
        SparkFailed, PipelineError: as above.
    """

    def blame(error: PipelineError, some: list[int]) -> int | None:
        if isinstance(error, StoredFileDamaged):
            raise error
        return None

    return _isolate(spark, where, [sorted(networks)], work, blame)


def _isolate(
    spark: SparkSession,
    where: str,
    parts: list[list[int]],
    work: Callable[[list[int]], T],
    blame: Callable[[PipelineError, list[int]], int | None],
) -> Isolated[T]:
    result: Isolated[T] = Isolated()
    waiting = [part for part in parts if part]
    while waiting:
        some = waiting.pop(0)
        try:
            with plain_failures(where):
                result.done.append(work(some))
        except (StoredFileDamaged, SparkFailed) as error:
            blamed = blame(error, some)
            if blamed is None and len(some) == 1:
                _check(spark, where)
                blamed = some[0]
            if blamed is None:
                halves = [some[: len(some) // 2], some[len(some) // 2 :]]
            else:
                result.failed[blamed] = error
                halves = [[item for item in some if item != blamed]]
            waiting += [half for half in halves if half]
    return result


def _check(spark: SparkSession, where: str) -> None:
    """Check that Spark can do a trivial job.

    Raises:
        PipelineError: it cannot, so no item is to blame.
    """
    with plain_failures(where):
        spark.range(1).count()
