"""``pipeline copy`` and ``relocate``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path

import click

from pipeline.cli.common import Context, command_options
from pipeline.cli.output import size
from pipeline.context.config import load_config
from pipeline.maintain.copy.run_copy import run_copy
from pipeline.maintain.copy.run_relocate import run_relocate
from pipeline.model.redact import never_show
from pipeline.storage.factory import open_storage
from pipeline.workflows.metrics.run import deliver_copy


@click.command()
@click.argument("destination")
@click.option(
    "--destination-config",
    type=click.Path(path_type=Path),
    help="TOML file whose [hdfs] says how to reach DESTINATION; default: that of the archive.",
)
@click.option("--verify", is_flag=True, help="Read what the copy has already, and copy again what is damaged there.")
@command_options
def copy(context: Context, destination: str, destination_config: Path | None, verify: bool) -> None:
    """Copy the whole archive, all nights, or bring an earlier copy up to date.

    DESTINATION is a folder or an hdfs:// URL. May run beside everything but the publishing of a night. A killed copy
    continues with the same command; until it is complete, the destination stays at its former state.
    """
    context.archive()
    config = context.config if destination_config is None else load_config(destination_config)
    for secret in config.secrets:
        never_show(secret)
    to = open_storage(destination, config.hdfs)
    report = run_copy(context, to, verify=verify)
    deliver_copy(context, date.fromisoformat(report.nights[-1]) if report.nights else None)
    if context.output.result(asdict(report)):
        return
    context.output.fields(
        f"Copied to {report.destination}",
        {
            "nights": f"{len(report.nights)}, the newest is {report.nights[-1]}" if report.nights else "none",
            "files copied": f"{report.files:,}, {size(report.size_bytes)}",
            "files kept": report.kept,
            "files deleted": report.deleted,
            "seconds": report.seconds,
        },
    )


@click.command()
@command_options
def relocate(context: Context) -> None:
    """Make a copied or moved archive one of the place where it is, so that everything works there.

    First make sure that nobody writes to the archive that it was copied from: it would go on with the same nights.
    """
    done = run_relocate(context)
    if context.output.result(asdict(done)):
        return
    if not done.tables:
        context.output.say(f"The archive is at {done.location}, where its tables say; nothing was changed")
    else:
        context.output.say(
            f"The archive is now one of {done.location}, it was one of {done.former}: {done.tables} tables, "
            f"{done.files} files of metadata rewritten"
        )
