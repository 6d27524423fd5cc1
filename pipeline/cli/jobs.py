"""``pipeline submit``, ``jobs`` and ``sql``."""

from __future__ import annotations

from datetime import date

import click
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from pipeline.cli.common import Context, Night, command_options
from pipeline.errors import UsageError
from pipeline.submit.run_job import list_jobs, run_job
from pipeline.tables.failures import SparkFailed, told_plainly
from pipeline.tables.read import Archive

night_option = click.option("--night", type=Night(), default=None, help="Which night; default: the newest.")


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("job")
@click.argument("argv", nargs=-1)
@night_option
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="Rows of the result to show.")
@command_options
def submit(context: Context, job: str, argv: tuple[str, ...], night: date | None, limit: int) -> None:
    """Run jobs/JOB.py on a night; its own arguments follow after --."""
    context.archive()
    result = run_job(context.spark(), context.storage, job, argv, night)
    _show(context, result, limit)


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
    """Ask the tables of a night a question: SELECT ... FROM commits, files, blobs, ..."""
    context.archive()
    archive = Archive(context.spark())
    archive.register_views(night)
    try:
        result = context.spark().sql(query)
    except PySparkException as error:
        raise UsageError(str(error).partition("\n\nJVM stacktrace")[0].strip()) from None
    try:
        with told_plainly(context.storage.root_uri):
            _show(context, result, limit)
    except SparkFailed as error:
        raise UsageError(f"the query failed: {error}") from None


def _show(context: Context, result: DataFrame, limit: int) -> None:
    rows = result.limit(limit + 1).collect()
    shown = rows[:limit]
    if context.output.result([row.asDict(recursive=True) for row in shown]):
        return
    context.output.table(None, result.columns, [tuple(row) for row in shown])
    if len(rows) > limit:
        context.output.say(f"The first {limit:,} rows; see more with --limit")
