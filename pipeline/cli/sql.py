"""``pipeline sql``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipeline.cli.common import Context, night_option, options_with
from pipeline.cli.places import format_of
from pipeline.cli.rows import show_rows
from pipeline.model.errors import UsageError
from pipeline.read.archive import Archive
from pipeline.read.submit.qualified import check_names, tables_read
from pipeline.read.submit.read_only import check_read_only
from pipeline.read.submit.statements import split_statements
from pipeline.tables.failures import SparkFailed, is_of_query, plain_failures

TEXT_ROWS = 1000
"""Rows of a result that are shown as text by default."""


@click.command()
@click.argument("query", required=False)
@click.option(
    "--file",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Read the statements from a file; - for standard input.",
)
@night_option
@click.option("--limit", type=click.IntRange(min=1), help="Rows to show; default: 1,000 as text, all in other formats.")
@click.option(
    "--out",
    "to",
    type=click.Path(path_type=Path),
    help="Write the rows to this file, which ends in .csv, .json or .parquet.",
)
@options_with("csv", "parquet")
def sql(
    context: Context, query: str | None, source: Path | None, night: date | None, limit: int | None, to: Path | None
) -> None:
    """Query the tables of a night: SELECT ... FROM commits, files, blobs, ... It only reads.

    QUERY is one statement or several, separated by semicolons; - reads them from standard input.
    """
    context.archive()
    statements = _statements(query, source)
    output = context.output if to is None else context.output.as_format(format_of(context.output.format, to))
    if len(statements) > 1 and (to is not None or output.format in ("csv", "parquet")):
        raise UsageError(f"{len(statements)} statements have one result each; give one at a time, or ask for JSON")
    if to is None and output.format == "parquet":
        raise UsageError("Parquet needs a file: --out FILE.parquet")
    archive = Archive(context.failing_fast().spark, night, context.storage)
    archive.night()  # known without Spark, which takes longer to start
    spark = archive.spark
    read: frozenset[str] = frozenset()
    for statement in statements:
        read |= _checked(spark, statement)
    archive.register_views(read=read)
    for statement in statements:
        with _querys_own_fault():
            result = spark.sql(statement)
        try:
            with plain_failures(context.storage.root_uri):
                show_rows(output, result, limit, text_limit=TEXT_ROWS, to=to)
        except SparkFailed as error:
            if is_of_query(error.__cause__):
                raise UsageError(f"the query failed: {error}") from None
            raise


def _statements(query: str | None, source: Path | None) -> list[str]:
    if (query is None) == (source is None):
        raise UsageError("give a statement, - for standard input, or --file FILE")
    if source is None and query != "-":
        found = split_statements(query or "")
    else:
        with click.open_file(str(source or "-")) as file:
            found = split_statements(file.read())
    if not found:
        raise UsageError("there is no statement to run")
    return found


def _checked(spark: SparkSession, statement: str) -> frozenset[str]:
    """Make sure that a statement only reads; return the archive's tables that it may read."""
    with _querys_own_fault():
        found = check_read_only(spark, statement)
        check_names(spark, found)
        return tables_read(found)


@contextmanager
def _querys_own_fault() -> Iterator[None]:
    try:
        yield
    except PySparkException as error:
        raise UsageError(str(error).partition("\n\nJVM stacktrace")[0].strip()) from None
