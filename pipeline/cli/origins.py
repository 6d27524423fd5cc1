"""``pipeline origins``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from pyspark.sql import SparkSession

from pipeline.cli.common import Context, command_options, today
from pipeline.cli.output import Output
from pipeline.model.errors import ExitCode, UsageError
from pipeline.model.origin import FETCHED_SCHEMES, Origin, check_url, is_fetched
from pipeline.model.origin_list import parse_origin_list
from pipeline.model.pattern import Pattern, parse_pattern, parse_patterns
from pipeline.night.opt_outs import admitted
from pipeline.night.origins import add_origins
from pipeline.night.standing import StateChange, keep_out, opt_out, pause, resume, save, signal
from pipeline.read.inventory.record import keep_record, record_user_tables
from pipeline.read.promises import lost_promises
from pipeline.read.status import origin_row, origins_list
from pipeline.rules.turn import turn_of

log = logging.getLogger(__name__)

FETCHED_NAMES = ", ".join(FETCHED_SCHEMES)


@click.group()
def origins() -> None:
    """Add, list, save, pause, resume and opt out the origins of an archive."""


@origins.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--fork-of", metavar="URL", help="The repository that they were forked from; forks share storage with it."
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File of origins: one URL per line, optionally followed by the URL it was forked from; # begins a comment.",
)
@command_options
def add(context: Context, urls: tuple[str, ...], fork_of: str | None, source: Path | None) -> int:
    """Add origins, or all origins of a file. Known ones are skipped, opted-out ones refused."""
    if bool(urls) == (source is not None) or (source is not None and fork_of is not None):
        raise UsageError("give URLs, with --fork-of if they are forks, or --from FILE")
    info = context.archive()
    if source is not None:
        with click.open_file(str(source)) as lines:
            wanted = parse_origin_list(str(source), lines)
    else:
        root = check_url(fork_of) if fork_of else None
        wanted = [Origin(check_url(url), root) for url in urls]
    for origin in wanted:
        if not is_fetched(origin.url):
            log.warning("%s: its visits will be refused, only %s are supported", origin.url, FETCHED_NAMES)
    spark = context.spark()
    may, may_not = admitted(spark, wanted)
    try:
        added = add_origins(spark, may, info.buckets, datetime.now(UTC))
    finally:
        # An opt-out writes its rule before it reads the origins, so one of us sees the other. Those that were refused
        # may have been added by an earlier run that was killed here.
        late = admitted(spark, wanted)[1]
        keep_out(spark, late)
        keep_record(context.storage, record_user_tables)
    known = len(may) - added
    refused = list({each.url: each for each in (*may_not, *late)}.values())
    if not context.output.result({"added": added, "known": known, "refused": refused}):
        for each in refused:
            context.output.say(f"{each.url} is not archived: {each.why}")
        context.output.say(f"{added:,} origins added" + (f", {known:,} already known" if known else ""))
    return ExitCode.SOME_ORIGINS_FAILED if refused else ExitCode.DONE


Change = Callable[[SparkSession, Sequence[Pattern]], StateChange]


def _state_command(
    change: Change, name: str, help_: str, done: str, *, unknown_fails: bool, others: str = "already were"
) -> None:
    """A command that takes one pattern, or a file of them, and reports how many origins it changed."""

    @origins.command(name, help=help_)
    @click.argument("pattern", required=False, metavar="[URL|PREFIX/*]")
    @click.option(
        "--from",
        "source",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="File with one pattern per line; # begins a comment.",
    )
    @command_options
    def command(context: Context, pattern: str | None, source: Path | None) -> int:
        context.archive()
        if (pattern is None) == (source is None):
            raise UsageError("give a URL, or a prefix such as https://host/owner/*, or --from FILE")
        if source is not None:
            with click.open_file(str(source)) as lines:
                patterns = parse_patterns(str(source), lines)
        else:
            patterns = [parse_pattern(pattern or "")]
        found = change(context.spark(), patterns)
        keep_record(context.storage, record_user_tables)
        if not context.output.result(found):
            _show_change(context.output, found, done, others, unknown_fails=unknown_fails)
        return ExitCode.SOME_ORIGINS_FAILED if unknown_fails and found.unknown else ExitCode.DONE


def _show_change(output: Output, found: StateChange, done: str, others: str, *, unknown_fails: bool) -> None:
    for pattern in found.unknown:
        kept = "no origin of this archive" + ("" if unknown_fails else " yet; it holds for origins added later")
        output.say(f"{pattern}: {kept}")
    output.say(f"{found.changed:,} origins {done}" + (f", {found.already:,} {others}" if found.already else ""))


_state_command(
    pause,
    "pause",
    "Stop visiting origins until they are resumed.",
    "paused",
    unknown_fails=True,
)
_state_command(
    resume,
    "resume",
    "Visit origins again, at once, and remove opt-outs with exactly these patterns.",
    "resumed",
    unknown_fails=True,
)
_state_command(
    save,
    "save",
    "Visit origins in the next night, before all others.",
    "are visited in the next night",
    unknown_fails=True,
    others="are paused or opted out",
)
_state_command(
    signal,
    "pushed",
    "Tell that origins changed, as an event of their forge says: a night with a budget visits them sooner.",
    "are known to have changed",
    unknown_fails=True,
    others="were known to, or are not visited",
)
_state_command(
    opt_out,
    "opt-out",
    "Never visit origins again, by any scheme, nor those that match the pattern and are added later.",
    "opted out",
    unknown_fails=False,
)


@origins.command()
@click.argument("url")
@command_options
def why(context: Context, url: str) -> None:
    """Say when an origin is visited, and why then."""
    context.archive(to_read=True)
    schedule = context.config.schedule
    row = origin_row(context.storage, check_url(url))
    lost = lost_promises(context.storage, today()).lost(row["url"])
    promised = None if lost is None else not lost
    turn = turn_of(row, today(), schedule.budget, schedule.greatest_age_nights, promised=promised)
    if not context.output.result(turn):
        context.output.say(turn.why)


@origins.command("list")
@command_options
def list_(context: Context) -> None:
    """List all origins."""
    context.archive(to_read=True)
    found = origins_list(context.storage)
    if not context.output.result(found):
        columns = ("url", "fork_of", "state", "next_due", "last_visit", "last_status", "last_error")
        context.output.table(None, columns, [[row[column] for column in columns] for row in found])
