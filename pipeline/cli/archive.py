"""``pipeline init`` and ``status``."""

from __future__ import annotations

import click

from pipeline.archive import ArchiveInfo, find_archive
from pipeline.cli.common import Context, command_options
from pipeline.cli.output import Output, size
from pipeline.model.layout import ARCHIVE
from pipeline.model.origin import check_url
from pipeline.read.archive import Archive
from pipeline.read.status import ArchiveStatus, OriginStatus, archive_status, origin_status
from pipeline.storage.errors import AlreadyThere
from pipeline.tables.create import create_tables


@click.command()
@click.option("--buckets", type=click.IntRange(1, 65_536), default=None, help="Fixed for the archive's life.")
@command_options
def init(context: Context, buckets: int | None) -> None:
    """Create the archive. An existing one is left unchanged."""
    found = find_archive(context.storage)
    if found is None:
        info = ArchiveInfo.new(buckets or context.config.archive.buckets)
        create_tables(context.spark(), info.buckets)
        try:
            context.storage.create(ARCHIVE, info.model_dump_json(indent=1).encode())
        except AlreadyThere:
            found = context.archive()
        else:
            found = None
    shown = found or context.archive()
    created = found is None
    where = context.storage.root_uri
    if context.output.result({"created": created, "location": where, "buckets": shown.buckets}):
        return
    if created:
        context.output.say(f"Created an archive with {shown.buckets} buckets at {where}")
    else:
        context.output.say(f"There already is an archive with {shown.buckets} buckets at {where}; nothing was changed")


@click.command()
@click.argument("url", required=False)
@command_options
def status(context: Context, url: str | None) -> None:
    """Show what the archive holds, or what is known about one origin."""
    context.archive()
    if url is None:
        overview = archive_status(Archive(context.spark()))
        if not context.output.result(overview):
            _show_archive(context.output, overview)
    else:
        found = origin_status(Archive(context.spark()), check_url(url))
        if not context.output.result(found):
            _show_origin(context.output, found)


def _show_archive(output: Output, overview: ArchiveStatus) -> None:
    nights = overview.nights
    output.fields(
        "Archive",
        {
            "nights": f"{len(nights)}, {nights[0]} to {nights[-1]}" if nights else "none yet",
            "origins": _counts(overview.origins),
            "last visits": _counts(overview.last_visits),
            "objects": _counts(overview.objects),
            "raw": size(overview.raw_bytes),
            "stored": size(overview.stored_bytes),
        },
    )


def _show_origin(output: Output, found: OriginStatus) -> None:
    output.fields(found.url, {"fork of": found.fork_of, "state": found.state, "next due": found.next_due})
    output.table(
        "Visits",
        ["night", "status", "error", "objects", "pack", "seconds", "what happened"],
        [(v.night, v.status, v.error, v.objects, size(v.pack_bytes), v.duration_s, v.detail) for v in found.visits],
    )
    output.table(
        "Refs",
        ["name", "target", "symref", "since"],
        [(r.name, r.target, r.symref, r.since) for r in found.refs],
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
