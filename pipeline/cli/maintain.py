"""``pipeline maintain``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click

from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, size
from pipeline.maintain.run_maintain import MaintainReport, run_maintain


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would go and change nothing.")
@command_options
def maintain(context: Context, dry_run: bool) -> None:
    """Let go of old nights, delete what nothing needs, and make few files of many small ones."""
    context.archive()
    report = run_maintain(context.config, context.storage, context.spark, dry_run=dry_run)
    if not context.output.result({**asdict(report), "freed_bytes": report.freed_bytes}):
        show_report(context.output, report)


def show_report(output: Output, report: MaintainReport) -> None:
    """A dry run names every file and folder, a real one counts them."""
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
    if report.small_files:
        small = [(s.table, s.bucket, s.files, size(s.size_bytes)) for s in report.small_files]
        output.table("Small files, rewritten into few", ["table", "bucket", "files", "size"], small)
    output.fields(
        "Nothing was changed; this is what would be done" if report.dry_run else "Housekeeping",
        {
            "nights let go": ", ".join(map(str, report.nights)) or "none",
            "snapshots forgotten": ", ".join(f"{count} of {table}" for table, count in report.snapshots.items())
            or "none",
            "manifests rewritten": ", ".join(f"{m.manifests} of {m.table}" for m in report.manifests) or "none",
            "loads not published": ", ".join(report.unfinished) or "none",
            "freed": size(report.freed_bytes),
        },
    )
