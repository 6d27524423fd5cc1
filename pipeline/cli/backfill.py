"""``pipeline backfill``."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import click

from pipeline.cli.common import Context, Night, command_options, today
from pipeline.cli.output import Output, report_damage, size
from pipeline.cli.progress import show_backfill, show_progress
from pipeline.model.errors import ExitCode
from pipeline.rules.batches import BUCKET_ORIGINS, LEAST_BATCH, MOST_BATCH
from pipeline.workflows.backfill_job import JobBackfill, backfill_job
from pipeline.workflows.backfill_origins import BackfillSummary, backfill_origins
from pipeline.workflows.metrics.run import CommandMetrics, measured


@click.group()
def backfill() -> None:
    """Catch up: first visits to very many origins, or a job on past nights."""


@backfill.command()
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of origins: one URL per line, optionally followed by the URL it was forked from; # begins a comment.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=None,
    show_default=f"{BUCKET_ORIGINS:,} per bucket, {LEAST_BATCH:,} to {MOST_BATCH:,}",
    help="Number of origins that are visited and published at once.",
)
@click.option("--retry", type=click.Choice(["failed"]), default=None, help="Visit these again, too.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Buckets fetched at once.")
@command_options
@measured("backfill")
def origins(
    context: Context,
    metrics: CommandMetrics,
    source: Path,
    batch: int | None,
    retry: str | None,
    workers: int | None,
) -> int:
    """Add the origins of a file and visit those without a visit, batch by batch.

    May be stopped at any time and run again: it continues where it stopped. Between two batches a waiting nightly
    gets its turn. Fetched objects are readable from the next night on.
    """
    context = replace(context, config=context.config.with_workers(workers))
    with show_backfill(context.output.messages) as progress:
        summary = backfill_origins(
            context,
            (progress.watch, metrics.follow),
            source,
            today(),
            batch=batch,
            retry_failed=retry == "failed",
            progress=progress,
        )
    metrics.exit_code = summary.exit_code
    if not context.output.result({**summary.model_dump(), "failures": summary.failures}):
        _show_origins(context.output, summary, source)
    report_damage(context.output, summary.damaged)
    return summary.exit_code


def _show_origins(output: Output, summary: BackfillSummary, source: Path) -> None:
    visited = ", ".join(f"{count:,} {status}" for status, count in summary.visited.items())
    passed = ", ".join(f"{count:,} {status}" for status, count in summary.passed.items())
    output.fields(
        f"Backfill of {source}",
        {
            "origins": summary.total,
            "visited now": f"{visited} in {len(summary.batches)} batches" if visited else "none",
            "needed no visit": passed or "none",
            "new objects": summary.objects,
            "over the wire": size(summary.wire_bytes),
            "stored": size(summary.stored_bytes),
        },
    )
    if summary.failed:
        output.table(
            "Failed visits",
            ["origin", "status", "error", "what happened"],
            [(f.origin, f.status.value, f.error, f.detail) for f in summary.failed],
        )
    if summary.failures:
        output.say(f"{summary.failures:,} origins of the list failed. Nights visit them again when they are due;")
        output.say(f"to visit them now: pipeline backfill origins --from {source} --retry failed")
    if summary.batches:
        output.say("Fetched objects are readable once the next night is complete: pipeline nightly")


@backfill.command()
@click.argument("job")
@click.argument("argv", nargs=-1)
@click.option("--from", "first", type=Night(), required=True, help="First night.")
@click.option("--to", "last", type=Night(), required=True, help="Last night.")
@command_options
@measured("backfill_job")
def job(context: Context, metrics: CommandMetrics, job: str, argv: tuple[str, ...], first: date, last: date) -> None:
    """Run jobs/JOB.py on each past night from one date to another; its own arguments follow after --.

    Skips nights that have its result for the same arguments. May be stopped at any time and run again, and needs no
    lease on the archive.
    """
    done = backfill_job(context, partial(show_progress, context.output.messages), job, argv, first, last)
    metrics.exit_code = ExitCode.DONE
    if not context.output.result(done):
        _show_job(context.output, done)


def _show_job(output: Output, done: JobBackfill) -> None:
    output.fields(
        f"Job {done.job}",
        {"nights done": len(done.done), "nights that had a result": len(done.had), "dates without": done.no_night},
    )
