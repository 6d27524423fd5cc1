"""All checks, one after the other. A check that crashes is a failure itself, and the others continue."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

from pipeline.context.archive import check_place, find_archive
from pipeline.context.config import Config, FetchSection
from pipeline.maintain.doctor.compiled import lacking_parts
from pipeline.maintain.doctor.finding import Finding, Level, machine_failure, warning
from pipeline.maintain.doctor.jars import check_jars
from pipeline.maintain.doctor.loads import check_archive, check_loads, check_promise, judge_lease
from pipeline.maintain.doctor.machine import check_clock, check_memory, check_scratch, heap_bytes, memory_here
from pipeline.maintain.doctor.packages import check_compiled, check_packages, check_python
from pipeline.maintain.doctor.programs import check_git, check_java
from pipeline.maintain.doctor.scheduler import check_scheduler
from pipeline.maintain.doctor.settings import check_settings
from pipeline.maintain.doctor.storage import check_local_space, check_probe, judge_hdfs
from pipeline.maintain.doctor.table_problems import TableProblem
from pipeline.maintain.doctor.tables import judge_doubles, judge_tables, judge_urls
from pipeline.model.errors import PipelineError
from pipeline.model.redact import one_line
from pipeline.read.submit.find_job import job_names
from pipeline.storage.errors import StorageError
from pipeline.storage.hdfs_status import hdfs_status
from pipeline.storage.interface import Storage
from pipeline.storage.lease_record import read_lease
from pipeline.tables.doubles import Doubles
from pipeline.tables.session import session_conf

logger = logging.getLogger(__name__)

PACKAGE = "git-lakehouse"


@dataclass(frozen=True)
class Spark:
    """Checks that need Spark; the first call starts it.

    Attributes:
        tables: from the number of buckets to the problems of tables, and the nights.
        doubles: duplicate keys.
        refused_urls: networks of origins whose URLs may contain a login.
    """

    tables: Callable[[int], tuple[Sequence[TableProblem], Sequence[date]]]
    doubles: Callable[[], Iterable[Doubles]]
    refused_urls: Callable[[], Sequence[int]]


@dataclass(frozen=True)
class Patient:
    """What to examine.

    Attributes:
        java_home: from the environment.
        lease: path of the lease file.
        spark: None to skip checks that need Spark.
        today: the date of a night that starts now.
    """

    config: Config
    storage: Storage
    java_home: str | None
    lease: str
    spark: Spark | None
    today: date


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check in turn, simple ones first and Spark last.

    A storage that does not answer is asked only once: each further call would take as long to fail.
    """
    for name, look in _of_this_machine(patient):
        yield from _guarded(name, look)
    try:
        yield from _space(patient)
    except StorageError as error:
        yield _failed("hdfs", error)
        yield warning("storage", "neither it nor its files were checked", "fix HDFS first")
        return
    except OSError as error:
        yield machine_failure("space", one_line(str(error)), "make the archive's folder readable")
    for name, look in _of_the_archive(patient):
        yield from _guarded(name, look)
    if patient.spark is not None:
        yield from _with_spark(patient, patient.spark)


def _of_this_machine(patient: Patient) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
    config, storage = patient.config, patient.storage
    conf = session_conf(config.spark, storage.root_uri)
    fetch = config.fetch
    return [
        ("python", lambda: [check_python(sys.version_info[:3])]),
        ("packages", lambda: check_packages(metadata.requires(PACKAGE) or (), metadata.version)),
        ("dulwich", lambda: [check_compiled(lacking_parts())]),
        ("java", lambda: [check_java(patient.java_home)]),
        ("git", lambda: [check_git(shutil.which("git"))]),
        ("scratch", lambda: [check_scratch(fetch.scratch_folder, fetch.limits.scratch_bytes)]),
        ("memory", lambda: [_memory(fetch, conf["spark.driver.memory"])]),
        ("clock", lambda: [check_clock()]),
        ("jars", lambda: check_jars(conf.get("spark.jars"), conf.get("spark.jars.packages"), _ivy(conf))),
        ("luigi", lambda: [check_scheduler(config.luigi.scheduler)]),
    ]


def _of_the_archive(patient: Patient) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
    config, storage = patient.config, patient.storage
    return [
        ("storage", lambda: check_probe(storage)),
        ("archive", lambda: [check_archive(storage)]),
        ("loads", lambda: check_loads(storage, patient.today)),
        ("greatest age", lambda: [check_promise(storage, patient.today)]),
        ("lease", lambda: [judge_lease(read_lease(storage, patient.lease), time.time())]),
        ("configuration", lambda: check_settings(config, _buckets(storage), job_names())),
    ]


def _space(patient: Patient) -> Iterable[Finding]:
    settings = patient.config.hdfs
    if settings is None or not patient.storage.root_uri.startswith("hdfs://"):
        return [check_local_space(patient.storage.root_uri)]
    return judge_hdfs(hdfs_status(settings))


def _memory(fetch: FetchSection, heap: str) -> Finding:
    return check_memory(memory_here(), fetch.workers, fetch.run_bytes, fetch.limits.memory_bytes, heap_bytes(heap))


def _with_spark(patient: Patient, spark: Spark) -> Iterator[Finding]:
    """Check the tables of an existing archive, and keys only if all tables are readable."""
    buckets = _buckets(patient.storage)
    if buckets is None:
        return
    looked = list(_guarded("tables", lambda: judge_tables(*spark.tables(buckets), patient.today)))
    yield from looked
    if all(finding.level is not Level.FAILURE for finding in looked):
        yield from _guarded("duplicate keys", lambda: judge_doubles(spark.doubles()))
        yield from _guarded("origins", lambda: [judge_urls(spark.refused_urls())])


def _guarded(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except PipelineError as error:
        yield _failed(name, error)
    except Exception as error:
        logger.debug("details", exc_info=error)
        what = one_line(f"{type(error).__name__}: {error}")
        yield machine_failure(name, f"check failed: {what}", 'run it again with log.level = "DEBUG"')


def _failed(name: str, error: PipelineError) -> Finding:
    logger.debug("details", exc_info=error)
    return Finding(name, Level.FAILURE, one_line(str(error)), "follow the message", error.exit_code)


def _buckets(storage: Storage) -> int | None:
    try:
        info = find_archive(storage)
        check_place(storage)
    except PipelineError:
        return None  # reported by the check of the archive
    return None if info is None else info.buckets


def _ivy(conf: dict[str, str]) -> Path:
    return Path(conf.get("spark.jars.ivy", "~/.ivy2.5.2"))
