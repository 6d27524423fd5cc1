"""Run a job from ``jobs/`` on a night and store its result with its lineage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from types import ModuleType

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline import __version__
from pipeline.errors import PipelineError, UsageError
from pipeline.read.archive import Archive
from pipeline.redact import arguments_without_secrets
from pipeline.storage.interface import Storage
from pipeline.submit.find_job import JobFailed, import_job, own_place
from pipeline.submit.results import NAMESPACE, BadResult, Lineage, write_result
from pipeline.tables.content_plan import content_stays
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.iceberg import full_name


class NoNightYet(UsageError):
    """A job needs a complete night."""

    def __str__(self) -> str:
        return "no night has been completed yet; run `pipeline nightly` first"


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
        JobFailed: the job's own code failed.
        BadResult: it returned no data frame, or one that cannot be stored.
        NightNotFound, NoNightYet: there is no such night, or none at all.
    """
    module = import_job(job)
    archive = Archive(spark, night, storage)
    shown = archive.register_views()
    if shown is None:
        raise NoNightYet
    result = _result(module, archive, storage, argv)
    lineage = Lineage(job, __version__, arguments_without_secrets(tuple(argv)), shown, archive.snapshots())
    with content_stays(result):
        write_result(spark, storage, lineage, result)
    return stored_result(spark, job, shown)


def stored_result(spark: SparkSession, job: str, night: date) -> DataFrame:
    """A stored result, with the night."""
    return spark.table(full_name(job, NAMESPACE)).where(F.col("night") == F.lit(night))


def _result(module: ModuleType, archive: Archive, storage: Storage, argv: Sequence[str]) -> DataFrame:
    job = module.__name__.rpartition(".")[2]
    try:
        with plain_failures(storage.root_uri):
            result = module.main(archive, list(argv))
    except SparkFailed as error:
        raise JobFailed(job, own_place(error.__cause__ or error), str(error)) from error
    except PipelineError:
        raise
    except Exception as error:
        raise JobFailed(job, own_place(error), f"{type(error).__name__}: {error}") from error
    if not isinstance(result, DataFrame):
        raise BadResult(job, f"main() returned {type(result).__name__}, not a data frame")
    return result
