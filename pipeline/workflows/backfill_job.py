"""A job on many past nights. Luigi's ``RangeDaily`` finds the missing results.

Needs no lease: a job reads nights, which never change, by their tags, and writes only its own result, a night's rows in
one commit. So a nightly can run at the same time, and if two runs do the same night, the later result stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import luigi
from luigi.tools.range import RangeDaily

from pipeline.context.run import helping
from pipeline.context.workplace import Workplace
from pipeline.model.errors import UsageError
from pipeline.model.layout import result_path
from pipeline.model.redact import arguments_without_secrets, without_secrets
from pipeline.read.archive import Archive
from pipeline.read.submit.find_job import NoSuchJob, job_names
from pipeline.read.submit.run_job import run_job
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage
from pipeline.tables.failures import SparkFailed
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.loads import RunFailed, Watch
from pipeline.workflows.target import StorageTarget
from pipeline.workflows.task_run import RunParameter, TaskRun

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""Attempts per night: another run may create the result table at the same moment."""


@dataclass(frozen=True, slots=True)
class JobBackfill:
    """The outcome: nights that got a result, nights that had one, and dates in the range without a night."""

    job: str
    done: tuple[date, ...]
    had: tuple[date, ...]
    no_night: int


def has_result(storage: Storage, job: str, argv: Sequence[str], night: date) -> bool:
    """Whether the job has a result for that night with these arguments."""
    try:
        lineage = json.loads(storage.read(result_path(job, night)))
    except FileMissing:
        return False
    return list(lineage["arguments"]) == list(arguments_without_secrets(tuple(argv)))


class PastJob(luigi.Task):
    """One job on one sealed night."""

    night = luigi.DateParameter(description="a sealed night")
    archive = luigi.Parameter(description="the archive's root, so that one luigid serves several")
    job = luigi.Parameter(description="name of a module in jobs/")
    argv = luigi.ListParameter(description="the job's own arguments")
    run_object = RunParameter()

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Nights with nothing to do: they have the result, or were never sealed.

        ``cls`` is a ``functools.partial`` when ``RangeDaily`` calls this, so it can only be called.
        """
        nights = list(parameter_tuples)
        if not nights:
            return []
        run = cls(night=nights[0]).run_object
        sealed = set(Archive(run.spark, None, run.storage).nights())
        return [night for night in nights if night not in sealed or cls(night=night).complete()]

    def output(self) -> StorageTarget:
        """The job's lineage."""
        return StorageTarget(self.run_object.storage, result_path(self.job, self.night))

    def complete(self) -> bool:
        """Whether there is a result with the same arguments; any other is replaced."""
        return has_result(self.run_object.storage, self.job, self.argv, self.night)

    def run(self) -> None:
        """Run the job."""
        self._try(lambda: self.run_object.retrying(self._work))
        self.run_object.events.night_done(self.night)

    def on_failure(self, exception: BaseException) -> str:
        """Keep the error for the caller of the run; Luigi only keeps its text."""
        self.run_object.events.error(f"{self.job} on {self.night}", exception)
        return without_secrets(str(super().on_failure(exception)))

    def _work(self) -> None:
        run = self.run_object
        try:
            run_job(run.spark(), run.storage, self.job, list(self.argv), self.night)
        except SystemExit as error:
            shown = " ".join(arguments_without_secrets(tuple(self.argv)))
            raise UsageError(f"{self.job} does not take the arguments {shown}") from error

    def _try(self, work: Callable[[], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                work()
                return
            except SparkFailed as error:
                if attempt == ATTEMPTS:
                    raise
                logger.warning("%s on %s is tried again: %s", self.job, self.night, error)


def backfill_job(place: Workplace, watch: Watch, job: str, argv: Sequence[str], first: date, last: date) -> JobBackfill:
    """Run a job on every sealed night of a range that has no result of it yet, oldest first.

    Args:
        watch: shows progress.
        argv: the job's own arguments; a result with other arguments is replaced.
        first: first date of the range.
        last: last date of the range, inclusive.

    Raises:
        NoSuchJob: there is no such job.
        UsageError: the range is empty.
        RunFailed: the job failed on some night; the other nights are done.
    """
    place.archive()
    if last < first:
        raise UsageError(f"there is no date from {first} to {last}")
    known = job_names()
    if job not in known:
        raise NoSuchJob(job, known)
    with helping(place) as helper:
        run = TaskRun.of(helper, "job")
        sealed = [night for night in Archive(run.spark, None, run.storage).nights() if first <= night <= last]
        had = [night for night in sealed if has_result(place.storage, job, argv, night)]
        missing = [night for night in sealed if night not in had]
        run.events.nights_due(len(missing))
        if missing:
            with watch(run.events):
                done = run_tasks([_range(run, job, argv, first, last)], workers=1, scheduler=None)
            if not done:
                raise RunFailed(f"{job} from {first} to {last}", run.events.failures())
    days = (last - first).days + 1
    return JobBackfill(job, tuple(missing), tuple(had), days - len(sealed))


def _range(run: TaskRun, job: str, argv: Sequence[str], first: date, last: date) -> RangeDaily:
    """The range as Luigi expects it: bounded by days from today, its parameters as plain values."""
    today = datetime.now(UTC).date()
    days = (last - first).days + 1
    return RangeDaily(
        of=PastJob,
        start=first,
        stop=last + timedelta(days=1),
        days_back=max((today - first).days, 0) + 1,
        days_forward=max((last - today).days, 0) + 2,
        task_limit=days,
        param_name="night",
        of_params={
            "archive": run.storage.root_uri,
            "job": job,
            "argv": list(argv),
            "run_object": RunParameter().serialize(run),
        },
    )
