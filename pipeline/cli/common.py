"""What commands share: options, the opened archive, and one place that turns errors into exit codes."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from pipeline.cli.output import Format, LogFormat, Output, set_up_logging
from pipeline.context.config import Config, find_config, load_config
from pipeline.context.workplace import Workplace
from pipeline.model.errors import ExitCode, PipelineError
from pipeline.model.layout import parse_night
from pipeline.model.redact import never_show
from pipeline.storage.factory import open_storage
from pipeline.tables.masters.interrupts import outranking_errors
from pipeline.tables.settings import SparkSettings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Context(Workplace):
    """A command's surroundings: where it works, and where it shows things."""

    output: Output
    config_path: Path | None = None

    def with_spark(self, settings: SparkSettings) -> Context:
        """The same with other settings of Spark."""
        return replace(self, config=self.config.model_copy(update={"spark": settings}))

    def failing_fast(self) -> Context:
        """The same for one question, which a full heap of the driver ends: nobody tries again in the same Spark."""
        return self.with_spark(self.config.spark.failing_fast())


def command_options(function: Callable[Concatenate[Context, P], int | None]) -> Callable[..., None]:
    """Add ``--config``, ``--archive`` and ``--output``, and exit with the command's exit code."""
    return _wrapped(function, ())


def options_with(*formats: Format) -> Callable[[Callable[Concatenate[Context, P], int | None]], Callable[..., None]]:
    """As ``command_options``, for a command that has further formats besides text and JSON."""
    return lambda function: _wrapped(function, formats)


def _wrapped(function: Callable[Concatenate[Context, P], int | None], formats: Sequence[Format]) -> Callable[..., None]:
    @click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        envvar="PIPELINE_CONFIG",
        help="TOML file; default: conf/local.toml here, else the built-in defaults.",
    )
    @click.option("--archive", "location", help="Folder or hdfs:// URL of the archive, instead of the configured one.")
    @click.option(
        "--output",
        "format_",
        type=click.Choice(["text", "json", *formats]),
        default="text",
        show_default=True,
        help="JSON goes to standard output alone." if not formats else "All but text holds every row, times in UTC.",
    )
    @click.option(
        "--log",
        type=click.Choice(["text", "json"]),
        default=None,
        help="Form of the log on standard error, JSON with one event a line; default: the configured one, text.",
    )
    @functools.wraps(function)
    def wrapped(
        config_path: Path | None,
        location: str | None,
        format_: Format,
        log: LogFormat | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        output = Output(format_, log or "text")
        set_up_logging("INFO", output)
        try:
            config_path = find_config(config_path)
            config = load_config(config_path).at(location).with_tokens(os.environ)
            for secret in config.secrets:
                never_show(secret)
            output = Output(format_, log or config.log.format)
            set_up_logging(config.log.level, output)
            config = _with_hadoop(config)
            context = Context(config, open_storage(config.archive.location, config.hdfs), output, config_path)
            with outranking_errors(), _plainly(context.storage.root_uri):
                code = function(context, *args, **kwargs)
        except PipelineError as error:
            output.complain(error)
            logger.debug("details", exc_info=error)
            raise SystemExit(int(error.exit_code)) from None
        except BrokenPipeError:  # whoever reads the output has seen enough; click ends the command quietly
            raise
        except Exception:
            logger.exception("unexpected error")
            raise SystemExit(int(ExitCode.RUN_FAILED)) from None
        raise SystemExit(int(code or ExitCode.DONE))

    return wrapped


@contextmanager
def _plainly(where: str) -> Iterator[None]:
    """``plain_failures``, for commands that may never import Spark. If the JVM ended unnoticed, rows may be missing."""
    try:
        yield
        if "pyspark" in sys.modules:
            from pipeline.tables.masters.jvm import why_died  # noqa: PLC0415 - as it says

            died = why_died(wait=False)
            if died is not None:
                raise died
    except Exception:
        if "pyspark" not in sys.modules:
            raise
        from pipeline.tables.failures import plain_failures  # noqa: PLC0415 - as it says

        with plain_failures(where):
            raise


def _with_hadoop(config: Config) -> Config:
    """The configuration, with the folder of Hadoop's from the environment unless it names one; Spark reads only the
    environment.
    """
    if config.spark.hadoop_conf is not None:
        os.environ["HADOOP_CONF_DIR"] = str(config.spark.hadoop_conf)
        return config
    found = os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR")
    if not found:
        return config
    return config.model_copy(update={"spark": config.spark.model_copy(update={"hadoop_conf": Path(found)})})


class Night(click.ParamType[date]):
    """YYYY-MM-DD."""

    name = "YYYY-MM-DD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse it, or fail as wrong usage."""
        if isinstance(value, date):
            return value
        night = parse_night(str(value))
        if night is None:
            self.fail(f"{value!r} is not a date like 2026-11-24", param, ctx)
        return night


night_option = click.option("--night", type=Night(), default=None, help="Which night; default: the newest.")


def today() -> date:
    """The default date of a run: today, UTC."""
    return datetime.now(UTC).date()
