"""``pipeline forges``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import click

from pipeline.cli.common import Context, command_options, today
from pipeline.cli.output import Output
from pipeline.cli.signals import show_signals
from pipeline.model.errors import ExitCode, UsageError
from pipeline.read.signals import recent_signals
from pipeline.workflows.run_forges import ForgeResult, NoSuchForge, crawl_forges, known_passes


@click.group()
def forges() -> None:
    """List the repositories of forges, tables [forges.NAME] of the configuration, and add them as origins."""


@forges.command("list")
@command_options
def list_(context: Context) -> None:
    """Show the configured forges."""
    named = context.config.forges.named
    shown = [{"forge": name, "kind": forge.kind, "url": forge.url} for name, forge in named.items()]
    if not context.output.result(shown) and not _none(context):
        context.output.table(None, ("forge", "kind", "url"), [tuple(each.values()) for each in shown])


@forges.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--full", is_flag=True, help="List everything, not only what is new or has changed.")
@click.option("--anew", is_flag=True, help="Give up the passes under way and begin new ones; what is merged stays.")
@command_options
def crawl(context: Context, names: Sequence[str], full: bool, anew: bool) -> int:
    """List forges, all by default, and add what may be archived as origins; goes on where it was stopped."""
    if anew and not names:
        raise UsageError("--anew needs the names of forges: what their passes have listed is given up")
    results = crawl_forges(context, names, full=full, anew=anew)
    if not context.output.result(results) and not _none(context):
        _show(context.output, results)
    return ExitCode.SOME_ORIGINS_FAILED if any(each.failed for each in results) else ExitCode.DONE


@forges.command()
@click.argument("name", required=False)
@command_options
def status(context: Context, name: str | None) -> int:
    """Show the newest pass over each forge, or all passes over one."""
    context.archive(to_read=True)
    known = list(context.config.forges.named)
    if name is not None and name not in known:
        raise NoSuchForge(name, known)
    found = [
        each
        for forge in ([name] if name is not None else known)
        for each in islice(known_passes(context, forge), None if name is not None else 1)
    ]
    if not context.output.result(found):
        if not _none(context):
            _show(context.output, found)
        show_signals(context.output, recent_signals(context.storage, today()))
    return ExitCode.CHECK_FAILED if any(each.failed for each in found) else ExitCode.DONE


def _none(context: Context) -> bool:
    """Whether there is no forge; says so."""
    if not context.config.forges.named:
        context.output.say("no forge is configured: add a table [forges.NAME] with its kind and url")
    return not context.config.forges.named


def _show(output: Output, results: Sequence[ForgeResult]) -> None:
    columns = ("forge", "pass", "of", "state", "pages", "listed", "unusable", "skipped", "became")
    rows = [
        (
            each.forge, each.number, "all" if each.full else "what is new", each.state,
            each.pages, each.listed, _counts(each.bad), each.skipped, _counts(each.merged),
        )
        for each in results
    ]  # fmt: skip
    output.table(None, columns, rows)
    for each in results:
        if each.stopped is not None:
            output.say(each.stopped)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())
