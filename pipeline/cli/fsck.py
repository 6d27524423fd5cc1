"""``pipeline fsck``."""

from __future__ import annotations

from dataclasses import asdict

import click

from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, size
from pipeline.context.archive import NoArchive
from pipeline.maintain.fsck.run_fsck import Report, run_fsck
from pipeline.model.errors import ExitCode
from pipeline.model.layout import WAREHOUSE
from pipeline.storage.errors import StoredFileDamaged

SHOWN = 50


@click.command()
@click.option("--deep", is_flag=True, help="Also read every object, in Spark: ids, contents, references.")
@click.option("--bucket", "buckets", type=click.IntRange(min=0), multiple=True, help="Only this one; may be repeated.")
@click.option("--repair", is_flag=True, help="Repair findings from copies, and from origins that still serve them.")
@command_options
def fsck(context: Context, deep: bool, buckets: tuple[int, ...], repair: bool) -> int:
    """Check that every file exists and matches its checksum and every night is complete; with --deep every object too.

    After a kill, the same command continues where it stopped. Exit code 3 means findings.
    """
    report = run_fsck(context, _number_of_buckets(context), deep=deep, buckets=buckets, repair=repair)
    if not context.output.result(asdict(report)):
        show_report(context.output, report)
    return ExitCode.CHECK_FAILED if report.findings else ExitCode.DONE


def _number_of_buckets(context: Context) -> int | None:
    """The archive's number of buckets; None if its file is damaged, which is a finding and no reason to stop."""
    try:
        return context.archive().buckets
    except (StoredFileDamaged, NoArchive):
        if not context.storage.list(WAREHOUSE):
            raise
        return None


def show_report(output: Output, report: Report) -> None:
    """Show the repairs, then the first findings; the report below ``fsck/`` in the archive has all of them."""
    for sentence in report.repaired:
        output.say(sentence)
    for finding in report.findings[:SHOWN]:
        output.say(f"{finding.kind}: {finding}")
    if len(report.findings) > SHOWN:
        output.say(f"… and {len(report.findings) - SHOWN} more; --output json lists all")
    speed = report.size_bytes / max(report.seconds, 0.001)
    output.fields(
        "Checked",
        {
            "files": report.files,
            "bytes": f"{size(report.size_bytes)}, {size(int(speed))} per second",
            "objects": report.objects if report.deep else "not checked; use --deep",
            "parts done by an earlier check": report.resumed,
            "seen for the first time": report.first_seen,
            "findings": len(report.findings),
        },
    )
