"""``pipeline fsck``."""

from __future__ import annotations

from dataclasses import asdict

import click

from pipeline.archive import NoArchive
from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, size
from pipeline.errors import ExitCode
from pipeline.fsck.run_fsck import Report, run_fsck
from pipeline.model.layout import WAREHOUSE
from pipeline.storage.errors import StoredFileDamaged

SHOWN = 50


@click.command()
@click.option("--deep", is_flag=True, help="Also read every object, in Spark: ids, contents, what refers to what.")
@click.option("--bucket", "buckets", type=click.IntRange(min=0), multiple=True, help="Only this one; may be repeated.")
@click.option("--repair", is_flag=True, help="Put right what is found: from copies, and from origins that serve it.")
@command_options
def fsck(context: Context, deep: bool, buckets: tuple[int, ...], repair: bool) -> int:
    """Check that every file is there with its checksum and every night complete; with --deep every object too.

    Killed, the same command goes on where it stopped. Exit code 3 when anything is wrong.
    """
    report = run_fsck(context, _number_of_buckets(context), deep=deep, buckets=buckets, repair=repair)
    if not context.output.result(asdict(report)):
        show_report(context.output, report)
    return ExitCode.CHECK_FAILED if report.findings else ExitCode.DONE


def _number_of_buckets(context: Context) -> int | None:
    """As the archive has it; None where the file that says so is damaged, which is a finding and no reason to stop."""
    try:
        return context.archive().buckets
    except (StoredFileDamaged, NoArchive):
        if not context.storage.list(WAREHOUSE):
            raise
        return None


def show_report(output: Output, report: Report) -> None:
    """What was done, then the first findings in words; all are in the report below ``fsck/`` in the archive."""
    for sentence in report.repaired:
        output.say(sentence)
    for finding in report.findings[:SHOWN]:
        output.say(f"{finding.kind}: {finding}")
    if len(report.findings) > SHOWN:
        output.say(f"… and {len(report.findings) - SHOWN} more; --output json has them all")
    speed = report.size_bytes / max(report.seconds, 0.001)
    output.fields(
        "Checked",
        {
            "files": report.files,
            "bytes": f"{size(report.size_bytes)}, {size(int(speed))} a second",
            "objects": report.objects if report.deep else "not looked at; use --deep",
            "parts done by an earlier check": report.resumed,
            "seen for the first time": report.first_seen,
            "findings": len(report.findings),
        },
    )
