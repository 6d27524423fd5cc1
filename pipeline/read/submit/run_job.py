"""Run a job from ``jobs/`` on a night and store its result with its lineage."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.errors import PipelineError, UsageError
from pipeline.model.redact import arguments_without_secrets
from pipeline.model.tables import BY_NAME
from pipeline.model.version import __version__
from pipeline.read.archive import Archive
from pipeline.read.names import with_parts
from pipeline.read.submit.find_job import FoundJob, JobFailed, find_job
from pipeline.read.submit.results import NAMESPACE, BadResult, Lineage, recorded_lineage, write_result
from pipeline.storage.interface import Storage
from pipeline.tables.content_guard import BadContent, count_skipped, none_skipped
from pipeline.tables.content_plan import content_stays
from pipeline.tables.failures import OutOfMemory, SparkFailed, is_of_query, plain_failures
from pipeline.tables.iceberg import full_name
from pipeline.tables.libraries import Libraries
from pipeline.tables.masters.errors import DriverDied

logger = logging.getLogger(__name__)

NETWORKS = 1 << 63
"""Networks are numbers below this one, and as hashes spread evenly."""

SAMPLE = "_sample"
"""Ends the name of a result of some networks only, so that it does not replace that of all."""


class NoNightYet(UsageError):
    """A job needs a complete night."""

    def __str__(self) -> str:
        return "no night has been completed yet; run `pipeline nightly` first"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a job is run.

    Attributes:
        sample: the share of networks that it sees, chosen by their hash: a smaller sample is part of a larger one;
            None for all.
        skip_bad: go on where a function over contents fails on one.
        py_files: Python files, zips and eggs that it imports from, here and on executors.
        libraries: packages that it imports; Spark was started with ``libraries.applied``.
    """

    sample: Fraction | None = None
    skip_bad: bool = False
    py_files: tuple[Path, ...] = ()
    libraries: Libraries | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What of it changes the result, as on the command line."""
        sample = () if self.sample is None else (f"--sample={float(self.sample)!r}",)
        libraries = () if self.libraries is None else (self.libraries.word,)
        return (*sample, *(("--skip-bad",) if self.skip_bad else ()), *libraries)

    def table(self, job: str) -> str:
        """The name of the job's result."""
        return job if self.sample is None else f"{job}{SAMPLE}"

    @property
    def below(self) -> int | None:
        """The networks that the sample holds are below this number."""
        return None if self.sample is None else int(NETWORKS * self.sample)


ALL_OF_IT = Manner()
"""All networks, and no content may be bad."""


def prepared(job: str, argv: Sequence[str] | None, manner: Manner = ALL_OF_IT) -> FoundJob:
    """Find and import a job, and check its arguments unless they are None, without Spark.

    Raises:
        NoSuchJob, JobFailed: there is no such job, or it cannot be imported.
        BadArguments: it does not take these arguments.
        UsageError: there is no file of ``py_files``.
    """
    for file in manner.py_files:
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
        _add_to_path(file)
    if manner.libraries is not None:
        _add_to_path(manner.libraries.imports)
    found = find_job(job)
    if found.name.endswith(SAMPLE):
        raise JobFailed(found.name, "its name", f"results of samples have names that end in {SAMPLE}; rename the job")
    if argv is not None:
        found.parameters.arguments(argv)
    return found


def _add_to_path(file: Path) -> None:
    place = str(file.resolve().parent if file.suffix == ".py" else file.resolve())
    if place not in sys.path:
        sys.path.append(place)


def run_job(
    spark: SparkSession,
    storage: Storage,
    job: str,
    argv: Sequence[str],
    night: date | None,
    manner: Manner = ALL_OF_IT,
) -> DataFrame:
    """Run a job and write its result table.

    Args:
        job: name of a module in ``jobs/``, or a path, as in ``find_job``.
        argv: the job's own arguments; the lineage records them without possible secrets.
        night: which night; None for the newest.

    Returns:
        The stored result, with the night.

    Raises:
        NoSuchJob: there is no such job.
        BadArguments: it does not take these arguments.
        JobFailed: the job's own code failed, or what it asked Spark for.
        BadResult: it returned no data frame, or one that cannot be stored.
        NightNotFound, NoNightYet: there is no such night, or none at all.
    """
    found = prepared(job, argv, manner)
    for file in (*manner.py_files, *(() if found.file is None else (found.file,))):
        spark.sparkContext.addPyFile(str(file))
    archive = Archive(spark, night, storage)
    archive.below = manner.below
    archive.skipped = none_skipped(spark.sparkContext) if manner.skip_bad else None
    shown = archive.register_views(read=found.reads)
    if shown is None:
        raise NoNightYet
    table = manner.table(found.name)
    read = BY_NAME.keys() if found.reads is None else with_parts(found.reads)
    snapshots = {name: id_ for name, id_ in archive.snapshots().items() if name in read}
    lineage = Lineage(table, __version__, (*manner.words, *arguments_without_secrets(tuple(argv))), shown, snapshots)
    if recorded_lineage(storage, table, shown) == lineage:
        logger.info("%s on %s has a result of the same version, arguments and inputs; it is made again", table, shown)
    where = storage.root_uri
    with _own_errors(found, archive, where):
        result = _result(found, archive, argv, where)
        with content_stays(result), plain_failures(where):
            write_result(spark, storage, lineage, result)
    if archive.skipped is not None:
        _tell_skipped(archive)
    return stored_result(spark, table, shown)


def stored_result(spark: SparkSession, table: str, night: date) -> DataFrame:
    """A stored result, with the night."""
    return spark.table(full_name(table, NAMESPACE)).where(F.col("night") == F.lit(night))


def _result(job: FoundJob, archive: Archive, argv: Sequence[str], where: str) -> DataFrame:
    try:
        with plain_failures(where):
            result = job.main(archive, argv)
    except (DriverDied, OutOfMemory) as error:
        raise error.at(job.place(error.__cause__ or error)) from error
    except PipelineError:
        raise
    except Exception as error:
        raise JobFailed(job.name, job.place(error), f"{type(error).__name__}: {error}") from error
    if result is None:
        raise BadResult(job.name, "main() returned nothing; let it return a data frame")
    if not isinstance(result, DataFrame):
        kind = type(result)
        raise BadResult(job.name, f"main() returned a {kind.__module__}.{kind.__qualname__}, not a data frame of Spark")
    if job.reads is not None:
        unsaid = sorted(tables_in(result) - with_parts(job.reads))
        if unsaid:
            raise BadResult(job.name, f"it reads {', '.join(unsaid)}, which its READS does not name")
    return result


def tables_in(frame: DataFrame) -> frozenset[str]:
    """The archive's tables that a frame reads."""
    plan = frame._jdf.queryExecution().analyzed().toString()
    return frozenset(name for name in BY_NAME if re.search(rf"\b{re.escape(full_name(name))}\b", plan))


@contextmanager
def _own_errors(job: FoundJob, archive: Archive, where: str) -> Iterator[None]:
    """Let errors of what a job asked Spark for name their place in it, or the content on which its function failed."""
    try:
        yield
    except SparkFailed as error:
        cause = error.__cause__
        bad = BadContent.parse(str(cause)) if error.kind == BadContent.__name__ else None
        if bad is not None:
            raise JobFailed(job.name, _place_of(archive, bad, where), bad.problem) from error
        if not is_of_query(cause):
            raise
        raise JobFailed(job.name, job.place(cause or error), str(error)) from error


def _place_of(archive: Archive, bad: BadContent, where: str) -> str:
    """A repository and path that have a content, as far as they are known, and its id."""
    here = f"content {bad.oid}"
    with suppress(PipelineError), plain_failures(where):
        mine = F.col("network") == bad.network
        with_it = archive.table("files").where(mine & (F.col("oid") == F.unhex(F.lit(bad.oid))))
        for row in with_it.select("origin", "path").orderBy("origin", "path").limit(1).collect():
            return f"{row.origin}, {row.path}, {here}"
        for row in archive.table("origins").where(mine).select("url").orderBy("url").limit(1).collect():
            return f"{row.url}, at no path of HEAD, {here}"
    return f"{here} of network {bad.network}"


def _tell_skipped(archive: Archive) -> None:
    found = archive.skipped.value if archive.skipped is not None else {}
    if not found:
        logger.info("no content was skipped")
        return
    (network, oid), problem = min(found.items())
    where = _place_of(archive, BadContent(network, oid, problem), "")
    count, exact = count_skipped(found)
    logger.warning("%s%d contents were skipped, such as %s: %s", "" if exact else "about ", count, where, problem)
