"""``pipeline maintain`` and ``compact``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import click

from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, report_damage, size
from pipeline.maintain.compact import Compacted
from pipeline.maintain.run_compact import run_compact
from pipeline.maintain.run_maintain import MaintainReport, run_maintain
from pipeline.model.errors import ExitCode
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import gain_bytes
from pipeline.workflows.metrics.run import CommandMetrics, measured


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would be deleted and change nothing.")
@command_options
@measured("maintain")
def maintain(context: Context, metrics: CommandMetrics, dry_run: bool) -> int:
    """Retire old nights, delete unneeded files, merge small files, and compact within a budget."""
    metrics.ours = not dry_run
    context.archive()
    report = run_maintain(context, dry_run=dry_run)
    metrics.exit_code = _exit_code(report.damaged)
    if not context.output.result({**asdict(report), "freed_bytes": report.freed_bytes}):
        show_report(context.output, report)
    report_damage(context.output, report.damaged)
    return metrics.exit_code


def _exit_code(damaged: Sequence[str]) -> ExitCode:
    return ExitCode.CHECK_FAILED if damaged else ExitCode.DONE


def show_report(output: Output, report: MaintainReport) -> None:
    """Show every file and folder of a dry run, the numbers of a real one."""
    freed: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for rubbish in report.rubbish:
        freed[rubbish.why] += rubbish.size_bytes
        files[rubbish.why] += rubbish.files
    if report.dry_run and report.rubbish:
        rows = [(r.path, r.files, size(r.size_bytes), str(r.why)) for r in report.rubbish]
        output.table("Would be deleted", ["path", "files", "size", "why"], rows)
    elif report.rubbish:
        output.table("Deleted", ["why", "files", "size"], [(why, files[why], size(freed[why])) for why in freed])
    if report.takedowns:
        output.table(
            "Taken down and rewritten",
            ["table", "rows", "files", "size", "size now"],
            [(t.table, t.rows, t.files, size(t.before_bytes), size(t.after_bytes)) for t in report.takedowns],
        )
    if report.small_files:
        small = [(s.table, s.bucket, s.files, size(s.size_bytes)) for s in report.small_files]
        output.table("Small files, merged", ["table", "bucket", "files", "size"], small)
    if report.to_compact:
        worth = [(s.table, s.bucket, s.files, size(s.size_bytes), size(int(gain_bytes(s)))) for s in report.to_compact]
        output.table("Would be compacted, in this order", ["table", "bucket", "files", "size", "gain"], worth)
    if report.compacted:
        show_compacted(output, report.compacted)
    output.fields(
        "Nothing was changed; this would be done" if report.dry_run else "Housekeeping",
        {
            "nights retired": ", ".join(map(str, report.nights)) or "none",
            "snapshots expired": ", ".join(f"{count} of {table}" for table, count in report.snapshots.items())
            or "none",
            "manifests rewritten": ", ".join(f"{m.manifests} of {m.table}" for m in report.manifests) or "none",
            "unpublished loads": ", ".join(report.unfinished) or "none",
            "freed": size(report.freed_bytes),
        },
    )


def parse_budget(text: str) -> Budget:
    """Like ``Budget.parse``; anything else is wrong usage."""
    try:
        return Budget.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def show_compacted(output: Output, done: Sequence[Compacted]) -> None:
    """Show each bucket before and after."""
    output.table(
        "Compacted",
        ["table", "bucket", "rows", "files", "before", "files now", "now", "seconds"],
        [
            (
                c.table,
                c.bucket,
                c.rows,
                c.before_files,
                size(c.before_bytes),
                c.after_files,
                size(c.after_bytes),
                c.seconds,
            )
            for c in done
        ],
    )


@click.command()
@click.option(
    "--budget",
    type=parse_budget,
    metavar="SIZE|TIME",
    help="Start no further bucket after, say, 10GB rewritten or 30m.",
)
@click.option("--bucket", "buckets", type=click.IntRange(min=0), multiple=True, help="Only this one; may be repeated.")
@command_options
@measured("compact")
def compact(context: Context, metrics: CommandMetrics, budget: Budget | None, buckets: tuple[int, ...]) -> int:
    """Sort and recompress contents and trees, whole buckets, those that gain most first."""
    context.archive()
    damaged: list[str] = []
    done = run_compact(context, budget or Budget(), buckets=buckets, on_damage=damaged.append)
    metrics.exit_code = _exit_code(damaged)
    if not context.output.result(done):
        _show_gain(context.output, done)
    report_damage(context.output, damaged)
    return metrics.exit_code


def _show_gain(output: Output, done: Sequence[Compacted]) -> None:
    if not done:
        output.say("Nothing to gain")
        return
    show_compacted(output, done)
    saved = sum(c.before_bytes - c.after_bytes for c in done)
    output.say(f"{size(saved)} saved; `pipeline maintain` frees them once no night and no snapshot needs them")
