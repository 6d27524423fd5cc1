"""The ``pipeline`` command."""

from __future__ import annotations

import importlib
import logging
from functools import partial
from types import MappingProxyType
from typing import cast

import click
from click.shell_completion import CompletionItem

from pipeline.model.log import logs_json
from pipeline.model.redact import without_secrets
from pipeline.model.version import __version__
from pipeline.tables.masters.interrupts import Interrupted, before_end, clean_up, raise_interrupts

logger = logging.getLogger(__name__)

MODULES = MappingProxyType(
    {
        "backfill": "backfill",
        "compact": "maintain",
        "connect": "connect",
        "copy": "copy",
        "doctor": "doctor",
        "export": "export",
        "forges": "forges",
        "fsck": "fsck",
        "init": "init",
        "jobs": "jobs",
        "maintain": "maintain",
        "metrics": "metrics",
        "nightly": "nightly",
        "origins": "origins",
        "relocate": "copy",
        "restore": "restore",
        "results": "results",
        "schedule": "schedule",
        "shell": "shell",
        "sql": "sql",
        "status": "status",
        "submit": "submit",
        "takedown": "takedown",
        "upgrade": "upgrade",
    }
)
"""The module of ``pipeline.cli`` that has each command, as a function of its name."""


class _Commands(click.Group):
    """Imports a command's module when it is used: all of them take twice as long as ``restore`` needs.

    Usage errors do not repeat arguments that could be a URL with a password.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in MODULES:
            return None
        return cast(click.Command, getattr(importlib.import_module(f"pipeline.cli.{MODULES[cmd_name]}"), cmd_name))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, without importing any of them for its help."""
        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; report its usage errors without secrets, and an interrupt in one line."""
        try:
            return super().invoke(ctx)
        except Interrupted as interrupt:
            clean_up()
            said = "interrupted; run the same command again to continue where it stopped"
            if logs_json():
                logger.error("%s", said, extra={"event": "interrupted"})
            else:
                click.echo(said, err=True)
            raise SystemExit(interrupt.exit_code) from None
        except click.ClickException as error:
            text = without_secrets(_unrepeated(error.format_message()))
            raise click.UsageError(text, getattr(error, "ctx", None)) from None


def _unrepeated(message: str) -> str:
    """Hide surplus arguments, which are most often URLs; their number is enough."""
    surplus, parenthesis, words = message.partition(" (")
    if not surplus.startswith("Got unexpected extra argument") or not parenthesis:
        return message
    return f"{surplus}: {len(words.split())} more than the command takes"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Archive public git repositories every night as Iceberg tables, and run Spark jobs over their whole history.

    Exit codes: 0 done, 1 some origins failed, 2 wrong usage or configuration, 3 stored data failed a check,
    4 another run holds the archive, 5 the run itself failed (storage, Spark, this machine), 130 interrupted
    (Ctrl-C), 143 terminated (SIGTERM).
    """


def main() -> None:
    """Entry point. An interrupt and SIGTERM end a run alike: cleanly, releasing the lease and ending Spark."""
    raise_interrupts()
    before_end(partial(logging.disable, logging.INFO))  # py4j logs what it cannot send to a JVM that has ended
    cli()
