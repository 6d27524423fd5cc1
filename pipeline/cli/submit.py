"""``pipeline submit``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click
from pyspark.sql import DataFrame

from pipeline.cli import driver
from pipeline.cli.common import Context, command_options, night_option
from pipeline.cli.job_options import (
    JobCommand,
    libraries_of,
    libraries_options,
    sample_option,
    sampled,
    skip_option,
    words_of,
)
from pipeline.cli.output import size
from pipeline.cli.rows import show_rows
from pipeline.context.config import Config
from pipeline.model.errors import UsageError
from pipeline.read.archive import Archive
from pipeline.read.submit.dry_run import dry_run
from pipeline.read.submit.find_job import SUFFIX, job_source
from pipeline.read.submit.in_pod import run_in_pod
from pipeline.read.submit.on_yarn import run_on_yarn
from pipeline.read.submit.run_job import Manner, NoNightYet, prepared, run_job, stored_result
from pipeline.rules.cluster import running_threads
from pipeline.tables.masters.application import Program
from pipeline.tables.masters.project import project_archive
from pipeline.tables.session import DRIVER_LOG4J, LOG4J, open_jvm, session_conf

SHIPPED_CONFIG = "git-lakehouse.toml"
"""Name of the configuration in the driver's folder."""

TEXT_ROWS = 40
"""Rows of a result that are shown as text by default."""


@click.command(cls=JobCommand, context_settings={"ignore_unknown_options": False})
@click.argument("job")
@click.argument("argv", nargs=-1)
@night_option
@click.option(
    "--limit", type=click.IntRange(min=1), help="Rows of the result to show; default: 40 as text, all as JSON."
)
@click.option("--dry-run", "rehearse", is_flag=True, help="Report what it would read and cost, and run nothing.")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the job; may be repeated.")
@sample_option
@skip_option
@click.option(
    "--py-files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .py, .zip or .egg that the job imports from, here and on executors; may be repeated.",
)
@libraries_options
@command_options
def submit(
    context: Context,
    /,
    job: str,
    argv: tuple[str, ...],
    night: date | None,
    limit: int | None,
    rehearse: bool,
    settings: tuple[str, ...],
    sample: float | None,
    skip_bad: bool,
    py_files: tuple[Path, ...],
    requirements: Path | None,
    environment: Path | None,
    **options: object,
) -> None:
    """Run jobs/JOB.py, or a file elsewhere, on a night.

    JOB is a name of `pipeline jobs`, or a path that ends in .py; --help after it shows its parameters. Words after --
    go to jobs that read them themselves.
    """
    job_source(job)  # or pip would run for one that is not there
    context.archive()
    libraries = libraries_of(requirements, environment)
    manner = Manner(sampled(sample), skip_bad, py_files, libraries)
    words = words_of(options, settings, argv)
    name = prepared(job, words, manner).name
    if rehearse:
        _show_dry_run(context, job, night)
        return
    if libraries is not None:
        context = context.with_spark(libraries.applied(context.config.spark))
    context = context.failing_fast()
    run = _submitted if context.config.spark.deploy_mode == "cluster" else _run_here
    show_rows(context.output, run(context, Order(job, name, words, night, manner)), limit, text_limit=TEXT_ROWS)
    table, of = manner.table(name), "" if night is None else f" --night {night}"
    context.output.note(f"stored as archive.results.{table}; see it again with `pipeline results show {table}`{of}")


@dataclass(frozen=True, slots=True)
class Order:
    """A run of a job that a person asked for. ``name`` is that of its module, ``job`` may be a path."""

    job: str
    name: str
    argv: tuple[str, ...]
    night: date | None
    manner: Manner


def _run_here(context: Context, order: Order) -> DataFrame:
    _night(context, order.night)
    return run_job(context.spark(), context.storage, order.job, order.argv, order.night, order.manner)


def _night(context: Context, night: date | None) -> date:
    """The night that a job runs on, known without Spark, which takes longer to start."""
    shown = Archive(context.spark, night, context.storage).night()
    if shown is None:
        raise NoNightYet
    return shown


def _submitted(context: Context, order: Order) -> DataFrame:
    """Run a job with its driver on the cluster; its result is read here."""
    settings, root_uri = context.config.spark, context.storage.root_uri
    if not root_uri.startswith("hdfs://"):
        raise UsageError(f"with the driver on the cluster the archive must be on HDFS, not at {root_uri}")
    context.check_master()
    shown = _night(context, order.night)
    jvm = open_jvm(settings.here(), root_uri)  # before a session: an application inherits what is on its command line
    files = {DRIVER_LOG4J: LOG4J}
    job = order.job
    if order.job.endswith(SUFFIX):
        job = Path(order.job).name
        files[job] = Path(order.job)
    words = [job, "--night", str(shown), "--archive", context.config.archive.location, *order.manner.words]
    if context.config_path is not None:
        files[SHIPPED_CONFIG] = context.config_path
        words += ["--config", SHIPPED_CONFIG]
    packages = [project_archive(), *order.manner.py_files]
    run = run_in_pod if settings.on_kubernetes else run_on_yarn
    program = Program(Path(driver.__file__), [*words, "--", *order.argv], packages, files)
    run(jvm, f"{context.app} submit {order.name}", program, settings, root_uri, context.output.note)
    return stored_result(context.spark_for_metadata(), order.manner.table(order.name), shown)


def _show_dry_run(context: Context, job: str, night: date | None) -> None:
    settings = context.config.spark
    conf = session_conf(settings, context.storage.root_uri)
    found = dry_run(Archive(context.spark_for_metadata, night, context.storage), job, settings.shape, conf)
    if context.output.result(found):
        return
    reads = found.reads
    context.output.table(
        f"What {job} could read on {found.night}",
        ["table", "files", "rows", "stored", "raw", "split", "tasks", "tasks by bucket"],
        [
            (t.table, t.files, t.rows, size(t.stored_bytes), size(t.raw_bytes), size(t.split_bytes), t.tasks,
             t.bucket_tasks)
            for t in reads.tables
        ],
    )  # fmt: skip
    disk = settings.cluster.disk_bytes
    share = f", {found.stored_bytes * copies(context.config) / disk:.1%} of the disk" if disk else ""
    context.output.fields(
        "Once through all of it",
        {
            "CPU seconds": f"{reads.cpu_s:,.1f} by Spark's own functions, {reads.python_cpu_s:,.1f} through Python",
            "seconds": f"{reads.elapsed_s:,.1f} through Python, on {running_threads(settings.shape):,} threads",
            "archive": f"{size(found.stored_bytes)}{share}",
        },
    )
    context.output.fields("Settings", found.settings)
    for note in reads.notes:
        context.output.say(f"Note: {note}")


def copies(config: Config) -> int:
    """The number of replicas of each byte of the archive."""
    return 1 if config.hdfs is None else config.hdfs.replication or 3
