"""``pipeline submit``, ``jobs`` and ``sql``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import click
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from pipeline.cli.common import Context, Night, command_options
from pipeline.cli.output import size
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.read.archive import Archive
from pipeline.rules.cluster import running_threads
from pipeline.submit.dry_run import dry_run
from pipeline.submit.qualified import check_names, tables_read
from pipeline.submit.read_only import check_read_only
from pipeline.submit.run_job import list_jobs, run_job
from pipeline.tables.content_plan import content_stays
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.session import session_conf

night_option = click.option("--night", type=Night(), default=None, help="Which night; default: the newest.")


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("job")
@click.argument("argv", nargs=-1)
@night_option
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="Rows of the result to show.")
@click.option("--dry-run", "rehearse", is_flag=True, help="Report what it would read and cost, and run nothing.")
@command_options
def submit(context: Context, job: str, argv: tuple[str, ...], night: date | None, limit: int, rehearse: bool) -> None:
    """Run jobs/JOB.py on a night; its own arguments follow after --."""
    context.archive()
    if rehearse:
        _show_dry_run(context, job, night)
        return
    result = run_job(context.spark(), context.storage, job, argv, night)
    _show(context, result, limit)


def _show_dry_run(context: Context, job: str, night: date | None) -> None:
    settings = context.config.spark
    conf = session_conf(settings, context.storage.root_uri)
    found = dry_run(Archive(context.spark_for_metadata(), night), job, settings.shape, conf)
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


@click.command()
@command_options
def jobs(context: Context) -> None:
    """List the jobs."""
    found = list_jobs()
    if not context.output.result(found):
        context.output.table(None, ["job", "what it does"], [(job.name, job.description) for job in found])


@click.command()
@click.argument("query")
@night_option
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Rows to show.")
@command_options
def sql(context: Context, query: str, night: date | None, limit: int) -> None:
    """Query the tables of a night: SELECT ... FROM commits, files, blobs, ... It only reads."""
    context.archive()
    spark = context.spark()
    with _querys_own_fault():
        check_read_only(spark, query)
        check_names(spark, query)
        read = tables_read(spark, query)
    Archive(spark, storage=context.storage).register_views(night, read)
    with _querys_own_fault():
        result = spark.sql(query)
    try:
        with plain_failures(context.storage.root_uri):
            _show(context, result, limit)
    except SparkFailed as error:
        cause = error.__cause__
        if isinstance(cause, PySparkException) and cause.getCondition():
            raise UsageError(f"the query failed: {error}") from None
        raise


@contextmanager
def _querys_own_fault() -> Iterator[None]:
    try:
        yield
    except PySparkException as error:
        raise UsageError(str(error).partition("\n\nJVM stacktrace")[0].strip()) from None


def _show(context: Context, result: DataFrame, limit: int) -> None:
    first = result.limit(limit + 1)
    with content_stays(first):
        rows = first.collect()
    shown = rows[:limit]
    if context.output.result([row.asDict(recursive=True) for row in shown]):
        return
    context.output.table(None, result.columns, [tuple(row) for row in shown])
    if len(rows) > limit:
        context.output.say(f"The first {limit:,} rows; see more with --limit")
