"""Run a job from ``jobs/`` on a night and store its result with its lineage."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from types import ModuleType

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import jobs
from pipeline import __version__
from pipeline.errors import UsageError
from pipeline.read.archive import Archive
from pipeline.redact import arguments_without_secrets
from pipeline.storage.interface import Storage
from pipeline.submit.results import NAMESPACE, Lineage, write_result
from pipeline.tables.content_plan import content_stays
from pipeline.tables.iceberg import full_name


class NoSuchJob(UsageError):
    """There is no such module in ``jobs/``."""

    def __init__(self, job: str, known: Sequence[str]) -> None:
        super().__init__(job, tuple(known))
        self.job, self.known = job, tuple(known)

    def __str__(self) -> str:
        return f"there is no job {self.job}; known jobs: {', '.join(self.known) or 'none'}"


class NoNightYet(UsageError):
    """A job needs a complete night."""

    def __str__(self) -> str:
        return "no night has been completed yet; run `pipeline nightly` first"


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job and its one-line description, the first line of its module's docstring."""

    name: str
    description: str


def list_jobs() -> list[JobInfo]:
    """All jobs, by name. This imports them."""
    return [JobInfo(name, _first_line(_module(name))) for name in _names()]


def find_job(job: str) -> ModuleType:
    """The module of a job.

    Raises:
        NoSuchJob: there is no such job.
    """
    if job not in _names():
        raise NoSuchJob(job, _names())
    return _module(job)


def run_job(spark: SparkSession, storage: Storage, job: str, argv: Sequence[str], night: date | None) -> DataFrame:
    """Run a job and write its result table.

    Args:
        job: name of a module in ``jobs/`` with ``main(archive, argv) -> DataFrame``.
        argv: the job's own arguments; the lineage records them without possible secrets.
        night: which night; None for the newest.

    Returns:
        The stored result, with the night.

    Raises:
        NoSuchJob: there is no such job.
        NightNotFound, NoNightYet: there is no such night, or none at all.
    """
    module = find_job(job)
    archive = Archive(spark, night, storage)
    shown = archive.register_views()
    if shown is None:
        raise NoNightYet
    result = module.main(archive, list(argv))
    lineage = Lineage(job, __version__, arguments_without_secrets(tuple(argv)), shown, archive.snapshots())
    with content_stays(result):
        write_result(spark, storage, lineage, result)
    return stored_result(spark, job, shown)


def stored_result(spark: SparkSession, job: str, night: date) -> DataFrame:
    """A stored result, with the night."""
    return spark.table(full_name(job, NAMESPACE)).where(F.col("night") == F.lit(night))


def _names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(jobs.__path__) if not m.name.startswith("_"))


def _module(job: str) -> ModuleType:
    return importlib.import_module(f"jobs.{job}")


def _first_line(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]
