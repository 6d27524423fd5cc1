"""``pipeline nightly``."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import click

from pipeline.cli.common import Context, Night, command_options, today
from pipeline.cli.output import Output, report_damage, size
from pipeline.cli.progress import show_progress
from pipeline.model.errors import ExitCode
from pipeline.model.layout import Load
from pipeline.model.night_summary import NightSummary
from pipeline.workflows.metrics.run import CommandMetrics, measured
from pipeline.workflows.run_night import run_night


@click.command()
@click.option("--night", type=Night(), default=None, help="Logical date of the run; default: today, UTC.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Buckets fetched at once.")
@click.option(
    "--budget",
    metavar="origins=N,cpu=4h,requests=N",
    help="Visit only so many of the due origins, those whose visits save most waiting; requests to each host.",
)
@command_options
@measured("nightly")
def nightly(
    context: Context, metrics: CommandMetrics, night: date | None, workers: int | None, budget: str | None
) -> int:
    """Visit every origin that is due, or those that a budget allows, and publish one consistent night."""
    context = replace(context, config=context.config.with_budget(budget).with_workers(workers))
    followers = partial(show_progress, context.output.messages), metrics.follow
    result = run_night(context, followers, night or today())
    metrics.exit_code, metrics.ours = result.summary.exit_code, result.led
    shown = {**result.summary.model_dump(), "already": result.already, "report": result.report}
    if not context.output.result(shown):
        if result.already:
            tomorrow = Load.of_night(today() + timedelta(days=1))
            free = None if context.storage.stat(tomorrow.finished) is not None else tomorrow.night
            context.output.say(already_complete(result.summary.night, free))
        show_summary(context.output, result.summary)
        if result.report is not None:
            context.output.say(f"Report: {result.report}")
    if result.already:
        return ExitCode.DONE
    report_damage(context.output, result.summary.damaged)
    return result.summary.exit_code


def already_complete(night: date, tomorrow: date | None) -> str:
    """What is said of a night that was complete before; of today's, also how to visit what was added since.

    Args:
        tomorrow: None if its night is complete, too.
    """
    said = f"The night {night} is already complete; nothing was done."
    if tomorrow is not None and night == tomorrow - timedelta(days=1):
        said += f" What was added since waits for tomorrow's, which --night {tomorrow} runs now."
    return said


_SHOWN = 20


def show_summary(output: Output, summary: NightSummary) -> None:
    """Show the night as two short tables, and its failures as a third."""
    origins = ", ".join(f"{count:,} {status}" for status, count in summary.origins.items()) or "none due"
    stored = size(summary.stored_bytes)
    if summary.wire_bytes:
        stored += f" ({summary.stored_bytes / summary.wire_bytes:.2f} of what came over the wire)"
    seconds = [f"{stage} {taken:.1f}" for stage, taken in summary.seconds.items() if stage != "nightly"]
    output.fields(
        f"Night {summary.night}",
        {
            "origins": origins,
            "new objects": summary.objects,
            "new bytes, inflated": size(summary.raw_bytes),
            "over the wire": size(summary.wire_bytes),
            "stored": f"{stored} in {summary.files} files",
            "seconds": ", ".join(seconds),
        },
    )
    if summary.failed:
        output.table(
            "Failed visits",
            ["origin", "status", "error", "what happened"],
            [(f.origin, f.status.value, f.error, f.detail) for f in summary.failed],
        )
    if summary.unpromised:
        output.table(
            "Hosts without the greatest age",
            ["host", "origins", "nights it would have to be"],
            [
                (each.host or "no host", f"{each.origins:,}", f"{each.nights:,.0f}")
                for each in summary.unpromised[:_SHOWN]
            ],
        )
    if summary.left_out:
        output.table("Buckets that were not derived", ["bucket", "why"], list(summary.left_out.items()))
