"""``pipeline upgrade``."""

from __future__ import annotations

import click

from pipeline.cli.common import Context, command_options
from pipeline.context.archive import FORMAT
from pipeline.maintain.run_upgrade import run_upgrade


@click.command()
@command_options
def upgrade(context: Context) -> None:
    """Upgrade an archive that an earlier version made; leaves any other unchanged. Every night stays as it is."""
    before = run_upgrade(context)
    where = context.storage.root_uri
    if context.output.result({"location": where, "before": before, "format": FORMAT}):
        return
    if before == FORMAT:
        context.output.say(f"The archive at {where} has format {FORMAT} already; nothing was changed")
    else:
        context.output.say(f"Upgraded the archive at {where} from format {before} to {FORMAT}")
