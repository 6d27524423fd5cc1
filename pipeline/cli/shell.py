"""``pipeline shell``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from types import FrameType
from typing import Any

import click
from pyspark.sql import functions

from pipeline.cli.common import Context, command_options, night_option
from pipeline.model.errors import UsageError
from pipeline.model.tables import ALL
from pipeline.read.archive import Archive
from pipeline.tables.job_groups import JobGroups
from pipeline.tables.masters.interrupts import Interrupts, own_handlers


@click.command()
@night_option
@command_options
def shell(context: Context, night: date | None) -> None:
    """Open IPython with the tables of a night: archive, spark, F, and a data frame per table."""
    context.archive()
    try:
        from IPython.terminal.ipapp import TerminalIPythonApp  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("`pipeline shell` needs IPython: install this package with its extra [shell]") from None
    archive = Archive(context.failing_fast().spark, night, context.storage)
    archive.night()  # known without Spark, which takes longer to start
    shown, spark = archive.register_views(), archive.spark
    tables = {table.name: spark.table(table.name) for table in ALL}
    context.output.note(
        f"Night {shown or 'none yet'}. archive (Archive), spark (SparkSession), F (its functions), and as data frames: "
        + ", ".join(tables)
    )
    app: Any = TerminalIPythonApp.instance(display_banner=False)
    app.user_ns = {"archive": archive, "spark": spark, "F": functions, **tables}
    app.initialize([])
    with _stops(app.shell, JobGroups(spark.sparkContext)) as stopped:
        app.start()
    stopped.check()


class _Terminated(BaseException):
    """SIGTERM came. IPython shows other exceptions and goes on."""


@contextmanager
def _stops(shell: Any, jobs: JobGroups) -> Iterator[Interrupts]:  # noqa: ANN401 - IPython's, an extra
    """Let Ctrl-C end what the shell runs, Spark's jobs too, and SIGTERM the shell."""
    stopped = Interrupts()

    def cancel(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=jobs.cancel, args=(jobs.current,), daemon=True).start()
        raise KeyboardInterrupt

    def end(number: int, frame: FrameType | None) -> None:
        stopped.number = number
        shell.ask_exit()
        raise _Terminated

    shell.events.register("pre_run_cell", lambda _: jobs.begin())
    shell.set_custom_exc((_Terminated,), lambda *_, **__: None)
    with own_handlers(), suppress(_Terminated):
        signal.signal(signal.SIGINT, cancel)
        signal.signal(signal.SIGTERM, end)
        yield stopped
