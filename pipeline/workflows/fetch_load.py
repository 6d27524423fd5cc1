"""Fetches the buckets of a load one by one, and checks that all are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

from pipeline.context.run import Run
from pipeline.fetch.asked import read_asked
from pipeline.fetch.bucket import fetch_bucket, read_manifests
from pipeline.fetch.questions import ask_part
from pipeline.model.layout import Load
from pipeline.model.log import about
from pipeline.model.manifest import Manifest
from pipeline.model.pattern import OptOuts
from pipeline.model.visit import Visit
from pipeline.night.kept_out import read_kept_out
from pipeline.night.plan import read_plan
from pipeline.storage.errors import StoredFileDamaged
from pipeline.workflows.scheduler_status import SchedulerStatus
from pipeline.workflows.task_run import TaskRun

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MANIFESTS_READ: WeakKeyDictionary[Run, set[str]] = WeakKeyDictionary()
"""Manifests by run that have been read, so that later checks whether all are there need not read them again."""


def ask_one_part(run: TaskRun, load: Load, bucket: int, part: int, parts: int) -> None:
    """Ask the due origins of a part of a bucket, by the configured limits."""
    settings = run.config.fetch
    with about(bucket=bucket):
        ask_part(
            run.storage,
            load,
            bucket,
            part,
            parts,
            run_id=run.run_id,
            conditions=run.config.conditions.keeping_out(_kept_out(run, load)),
            concurrency=settings.concurrency,
            scratch=run.scratch,
            on_visit=run.events.visit,
        )


def fetch_one_bucket(
    run: TaskRun,
    load: Load,
    bucket: int,
    parts: int,
    message: Callable[[str], None] | None,
    percentage: Callable[[int], None] | None,
) -> None:
    """Visit the due origins of a bucket, by the configured limits.

    Args:
        parts: parts of its questions, which are asked; 0 if it asks its own.
        message: shows a sentence on the scheduler's page; None outside a worker.
        percentage: shows 0 to 100, likewise.
    """
    settings = run.config.fetch
    asked = read_asked(run.storage, load, bucket, parts)
    due = read_plan(run.storage, load).buckets[bucket] - len(asked.ended)
    status = SchedulerStatus(due, _best_effort(message), _best_effort(percentage))

    def on_visit(visit: Visit) -> None:
        run.events.visit(visit)
        status.visited(visit)

    with about(bucket=bucket):
        fetch_bucket(
            run.storage,
            load,
            bucket,
            run_id=run.run_id,
            conditions=run.config.conditions.keeping_out(_kept_out(run, load)),
            concurrency=settings.concurrency,
            scratch=run.scratch,
            run_bytes=settings.run_bytes,
            asked=asked,
            on_visit=on_visit,
        )


def _kept_out(run: Run, load: Load) -> OptOuts:
    """What no visit of the load follows a redirect to."""
    return read_kept_out(run.storage, load, read_plan(run.storage, load).kept_out)


def manifests_are_whole(run: Run, load: Load) -> bool:
    """Whether every planned bucket has a manifest that can be read."""
    done = {entry.path for entry in run.storage.list(load.manifests)}
    buckets = read_plan(run.storage, load).buckets
    if not all(load.manifest(bucket) in done for bucket in buckets):
        return False
    read = _MANIFESTS_READ.setdefault(run, set())
    unread = [bucket for bucket in sorted(buckets) if load.manifest(bucket) not in read]
    _, lost = read_manifests(run.storage, load, unread)
    if lost:
        logger.error("%s: the manifests of buckets %s cannot be read; they are fetched again", load.name, lost)
        return False
    read.update(map(load.manifest, unread))
    return True


def read_all_manifests(run: Run, load: Load) -> Sequence[Manifest]:
    """The manifests of all planned buckets.

    Raises:
        StoredFileDamaged: a manifest was lost after it was written; the next run fetches its bucket again.
    """
    manifests, lost = read_manifests(run.storage, load, sorted(read_plan(run.storage, load).buckets))
    if lost:
        raise StoredFileDamaged(load.manifest(lost[0]), "it was lost during the run; the next run fetches again")
    return manifests


def _best_effort(show: Callable[[T], None] | None) -> Callable[[T], None] | None:
    """The same function, but if the scheduler does not answer, it stops calling it instead of failing the task."""
    if show is None:
        return None
    silent = False

    def shown(value: T) -> None:
        nonlocal silent
        if silent:
            return
        try:
            show(value)
        except Exception as error:
            silent = True
            logger.warning("the scheduler gets no more progress of this task: %s", error)

    return shown
