"""``pipeline init``, ``status`` and ``restore``."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from pipeline.archive import ArchiveInfo, find_archive
from pipeline.cli.common import Context, Night, command_options
from pipeline.cli.output import Output, size
from pipeline.errors import ExitCode
from pipeline.model.layout import ARCHIVE
from pipeline.model.origin import check_url
from pipeline.read.archive import Archive
from pipeline.read.restore import restore_repository
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


@click.command()
@click.argument("url")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--night", type=Night(), default=None, help="As of that night; default: the newest.")
@command_options
def restore(context: Context, url: str, directory: Path, night: date | None) -> int:
    """Restore a bare repository with the refs of a night, byte for byte."""
    context.archive()
    scratch = context.config.fetch.scratch_folder
    restored = restore_repository(context.storage, check_url(url), directory, scratch, night)
    if not context.output.result(restored):
        context.output.say(
            f"Restored {restored.url} as of {restored.night} to {directory}: {restored.refs:,} refs, "
            f"{restored.objects:,} objects"
        )
        if restored.not_stored:
            context.output.say(
                f"{restored.not_stored:,} objects that the archive does not keep are missing (taken down, or over the "
                f"size limit), and {restored.refs_not_stored:,} refs to them"
            )
        if restored.refs_left_out:
            context.output.say(f"{restored.refs_left_out:,} refs are left out: git refuses their names")
        if restored.refs_plain:
            context.output.say(f"{restored.refs_plain:,} symbolic refs became plain refs")
    return ExitCode.DONE if restored.is_whole else ExitCode.SOME_ORIGINS_FAILED
