"""``pipeline connect``."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import date
from urllib.parse import quote

import click

from pipeline.cli.common import Context, command_options, night_option
from pipeline.model.errors import UsageError
from pipeline.model.redact import never_show
from pipeline.read.archive import Archive
from pipeline.read.connect import serve, settings_to_serve
from pipeline.tables.connect import HOST, TOKEN
from pipeline.tables.masters.jvm import await_death

SHORTEST_TOKEN = 16


@click.command()
@night_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port on this machine; default: a free one."
)
@command_options
def connect(context: Context, night: date | None, port: int) -> None:
    """Serve the tables of a night to Spark Connect clients on this machine, until Ctrl-C.

    It prints the address, which has a token: that of SPARK_CONNECT_AUTHENTICATE_TOKEN if this is set, else a new one.
    """
    context.archive()
    _check_port(port)
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    if len(token) < SHORTEST_TOKEN:
        raise UsageError(f"{TOKEN} has a token of less than {SHORTEST_TOKEN} characters, which can be guessed")
    os.environ[TOKEN] = token
    never_show(token)
    settings = settings_to_serve(context.config.spark, context.storage, port)
    archive = Archive(context.with_spark(settings).failing_fast().spark, night, context.storage)
    shown = archive.night()  # known without Spark, which takes longer to start
    address = f"sc://localhost:{serve(archive, shown, context.storage.root_uri)}/;token={quote(token, safe='')}"
    context.output.note(f"Night {shown or 'none yet'}. Ctrl-C ends the server, and its clients' sessions. Its address:")
    if not context.output.result({"address": address, "night": shown}):
        context.output.console.out(address, highlight=False)
    await_death()


def _check_port(port: int) -> None:
    """Make sure, before Spark starts, that a port is free."""
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((HOST, port))
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}. Without --port a free one is") from None
