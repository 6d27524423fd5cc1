"""The ``pipeline`` command."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

import click

from pipeline import __version__
from pipeline.cli.archive import init, restore, status
from pipeline.cli.backfill import backfill
from pipeline.cli.doctor import doctor
from pipeline.cli.fsck import fsck
from pipeline.cli.jobs import jobs, submit
from pipeline.cli.maintain import compact, maintain
from pipeline.cli.nightly import nightly
from pipeline.cli.origins import origins
from pipeline.cli.shell import shell
from pipeline.cli.sql import sql
from pipeline.cli.takedown import takedown
from pipeline.redact import without_secrets


class _Discreet(click.Group):
    """A group whose usage errors do not repeat arguments that could be a URL with a password."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; report its usage errors without secrets."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            text = without_secrets(_unrepeated(error.format_message()))
            raise click.UsageError(text, getattr(error, "ctx", None)) from None


def _unrepeated(message: str) -> str:
    """Hide surplus arguments, which are most often URLs; their number is enough."""
    surplus, parenthesis, words = message.partition(" (")
    if not surplus.startswith("Got unexpected extra argument") or not parenthesis:
        return message
    return f"{surplus}: {len(words.split())} more than the command takes"


@click.group(cls=_Discreet, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Archive public git repositories every night as Iceberg tables, and run Spark jobs over their whole history.

    Exit codes: 0 done, 1 some origins failed, 2 wrong usage or configuration, 3 stored data failed a check,
    4 another run holds the archive, 5 the run itself failed (storage, Spark, this machine).
    """


COMMANDS = (
    init, origins, nightly, backfill, status, restore, submit, jobs, sql, shell, takedown, maintain, compact,
    fsck, doctor,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Entry point. SIGTERM ends a run like an interrupt: cleanly, releasing the lease."""
    signal.signal(signal.SIGTERM, _interrupt)
    cli()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
