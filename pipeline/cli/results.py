"""``pipeline results``: what jobs have stored, read without Spark."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import IO

import click
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cli.common import Context, Night, command_options, options_with
from pipeline.cli.output import Format, Output, jsonable
from pipeline.cli.places import format_of, place
from pipeline.model.errors import ExitCode, UsageError
from pipeline.read.submit.stored_results import Difference, difference, list_results, read_result
from pipeline.read.submit.value_files import write_csv_values, write_json_values

TEXT_ROWS = 40
"""Rows that are shown as text by default."""

_NEWEST = "Which night; default: the newest that has a result."
result_night = click.option("--night", type=Night(), default=None, help=_NEWEST)


@click.group()
def results() -> None:
    """List, show, compare and export the results of jobs. Spark is not started."""


@results.command("list")
@command_options
def list_(context: Context) -> None:
    """List the results of all jobs: night, rows, arguments and version."""
    context.archive()
    found = list_results(context.storage)
    if not context.output.result([asdict(result) for result in found]):
        context.output.table(
            None,
            ["job", "night", "rows", "arguments", "version"],
            [(each.job, each.night, each.rows, " ".join(each.arguments), each.version) for each in found],
        )


@results.command()
@click.argument("job")
@result_night
@click.option("--limit", type=click.IntRange(min=1), help="Rows to show; default: 40 as text, all as JSON.")
@command_options
def show(context: Context, job: str, night: date | None, limit: int | None) -> None:
    """Show the rows of a result."""
    context.archive()
    found, rows = read_result(context.storage, job, night)
    shown = rows.slice(0, limit) if limit else rows
    if context.output.result(shown.to_pylist()):
        return
    most = limit or TEXT_ROWS
    context.output.table(f"{job} on {found.night}", rows.column_names, _values(rows.slice(0, most)))
    if rows.num_rows > most:
        context.output.say(f"The first {most:,} of {rows.num_rows:,} rows; see more with --limit")


@results.command()
@click.argument("job")
@click.option("--from", "first", type=Night(), required=True, help="The night to compare with.")
@click.option("--to", "second", type=Night(), default=None, help=_NEWEST)
@command_options
def diff(context: Context, job: str, first: date, second: date | None) -> int:
    """Show the rows that only one of two nights has. Exits with 1 if there are any, as diff does."""
    context.archive()
    _, old = read_result(context.storage, job, first)
    newer, new = read_result(context.storage, job, second)
    if second is None and newer.night == first:
        raise UsageError(f"{first} is the newest night that {job} has a result for; compare it --to another one")
    found = difference(old, new)
    if not context.output.result(found):
        _show_difference(context.output, found, first, newer.night)
    return ExitCode.SOME_ORIGINS_FAILED if found.only_first or found.only_second else ExitCode.DONE


def _show_difference(output: Output, found: Difference, first: date, second: date) -> None:
    marked = [("-", row) for row in found.only_first] + [("+", row) for row in found.only_second]
    columns = list(dict.fromkeys(name for _, row in marked for name in row))
    if marked:
        output.table(
            f"- {first}, + {second}",
            ["", *columns],
            [(sign, *(row.get(name) for name in columns)) for sign, row in sorted(marked, key=_order)[:1000]],
        )
    output.say(
        f"{len(found.only_first):,} rows only on {first}, {len(found.only_second):,} only on {second}, "
        f"{found.common:,} on both"
    )


def _order(marked: tuple[str, dict[str, object]]) -> tuple[str, str]:
    """Rows of one key, usually the first column, side by side."""
    sign, row = marked
    return str(next(iter(row.values()), "")), "0" if sign == "-" else "1"


@results.command()
@click.argument("job")
@result_night
@click.option(
    "--out", "to", required=True, type=click.Path(path_type=Path), help="A file that ends in .csv, .json or .parquet."
)
@options_with("csv", "parquet")
def export(context: Context, job: str, night: date | None, to: Path) -> None:
    """Write the rows of a result to a file, which appears, or is replaced, once it is complete."""
    context.archive()
    format_ = format_of(context.output.format, to)
    found, rows = read_result(context.storage, job, night)
    with place(to) as file:
        _write(rows, format_, file)
    context.output.note(f"{rows.num_rows:,} rows of {job} on {found.night} written to {to}")


def _write(rows: pa.Table, format_: Format, to: IO[bytes]) -> None:
    match format_:
        case "csv":
            write_csv_values(rows.column_names, _values(rows), to, jsonable)
        case "parquet":
            pq.write_table(rows, to, compression="zstd")
        case _:
            write_json_values(rows.column_names, _values(rows), to, jsonable)


def _values(rows: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in rows.to_pylist()]
