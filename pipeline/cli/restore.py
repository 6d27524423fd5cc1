"""``pipeline restore``."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from pipeline.cli.common import Context, Night, command_options
from pipeline.model.errors import ExitCode
from pipeline.model.origin import check_url
from pipeline.read.restore import restore_repository
from pipeline.storage.preparation import prepare_process


@click.command()
@click.argument("url")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--night", type=Night(), default=None, help="As of that night; default: the newest.")
@command_options
def restore(context: Context, url: str, directory: Path, night: date | None) -> int:
    """Restore a bare repository with the refs of a night, byte for byte."""
    prepare_process(pandas=False)
    context.archive(to_read=True)
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
