"""``pipeline origins``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.cli.common import Context, command_options
from pipeline.errors import UsageError
from pipeline.model.origin import FETCHED_SCHEMES, Origin, check_url, is_fetched
from pipeline.model.origin_list import parse_origin_list
from pipeline.tables.iceberg import full_name
from pipeline.tables.origins import add_origins

log = logging.getLogger(__name__)

FETCHED_NAMES = ", ".join(FETCHED_SCHEMES)


@click.group()
def origins() -> None:
    """Add and list the origins of an archive."""


@origins.command()
@click.argument("url", required=False)
@click.option("--fork-of", metavar="URL", help="The repository that URL was forked from; forks share storage with it.")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File of origins: one URL a line, optionally followed by the URL it was forked from; # begins a comment.",
)
@command_options
def add(context: Context, url: str | None, fork_of: str | None, source: Path | None) -> None:
    """Add an origin, or all origins of a file. Known ones are passed by."""
    if (url is None) == (source is None) or (source is not None and fork_of is not None):
        raise UsageError("give a URL, with --fork-of if it is a fork, or --from FILE")
    info = context.archive()
    if source is not None:
        with click.open_file(str(source)) as lines:
            wanted = parse_origin_list(str(source), lines)
    else:
        assert url is not None
        wanted = [Origin(check_url(url), check_url(fork_of) if fork_of else None)]
    for origin in wanted:
        if not is_fetched(origin.url):
            log.warning("%s: its visits will be refused, only %s are fetched from", origin.url, FETCHED_NAMES)
    added = add_origins(context.spark(), wanted, info.buckets, datetime.now(UTC))
    known = len(wanted) - added
    if not context.output.result({"added": added, "known": known}):
        context.output.say(f"{added:,} origins added" + (f", {known:,} were known" if known else ""))


@origins.command("list")
@command_options
def list_(context: Context) -> None:
    """List all origins."""
    context.archive()
    found = [row.asDict() for row in context.spark().table(full_name("origins")).orderBy("url").collect()]
    if not context.output.result(found):
        columns = ("url", "fork_of", "state", "next_due", "last_visit", "last_status", "last_error")
        context.output.table(None, columns, [[row[column] for column in columns] for row in found])
