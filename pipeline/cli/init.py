"""``pipeline init``."""

from __future__ import annotations

import click

from pipeline.cli.common import Context, command_options
from pipeline.context.archive import ArchiveInfo, check_place, find_archive
from pipeline.model.layout import ARCHIVE
from pipeline.storage.errors import AlreadyThere
from pipeline.tables.create import create_tables


@click.command()
@click.option("--buckets", type=click.IntRange(1, 65_536), default=None, help="Fixed for the archive's life.")
@command_options
def init(context: Context, buckets: int | None) -> None:
    """Create the archive. An existing one is left unchanged."""
    check_place(context.storage)
    found = find_archive(context.storage)
    if found is None:
        info = ArchiveInfo.new(buckets or context.config.archive.buckets)
        create_tables(context.spark(), info.buckets)
        try:
            context.storage.create(ARCHIVE, info.model_dump_json(indent=1).encode())
        except AlreadyThere:
            found = context.archive()
    shown = found or context.archive()
    created = found is None
    where = context.storage.root_uri
    if context.output.result({"created": created, "location": where, "buckets": shown.buckets}):
        return
    if created:
        context.output.say(f"Created an archive with {shown.buckets} buckets at {where}")
    else:
        context.output.say(f"There already is an archive with {shown.buckets} buckets at {where}; nothing was changed")
