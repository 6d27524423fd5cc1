"""Results to standard output, as text for people or as JSON for programs. Logs go elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic_core import to_jsonable_python
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.logging import RichHandler
from rich.table import Table

from pipeline.model.errors import PipelineError
from pipeline.model.log import TEXT, JsonFormatter, TextFormatter
from pipeline.model.redact import harmless, without_secrets

Format = Literal["text", "json", "csv", "parquet"]

PLAIN_WIDTH = 160
"""Width of text without a terminal, in columns."""
LogFormat = Literal["text", "json"]

logger = logging.getLogger(__name__)


class Output:
    """Where a command reports its results; with ``log`` "json", standard error has nothing but events."""

    def __init__(self, format_: Format, log: LogFormat = "text") -> None:
        self.format, self.log = format_, log
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=PLAIN_WIDTH)
        self.messages = Console(stderr=True, force_terminal=False if log == "json" else None)

    def result(self, value: object) -> bool:
        """Print the value if JSON was requested, on one line among events that are lines of JSON; True if it was, and
        there is nothing more to print."""
        if self.format != "json":
            return False
        self.console.out(json.dumps(jsonable(value), indent=None if self.log == "json" else 1), highlight=False)
        return True

    def as_format(self, format_: Format) -> Output:
        """The same place for results, in another format."""
        return Output(format_, self.log)

    def say(self, sentence: str) -> None:
        """Print one line of text."""
        self.console.print(harmless(sentence), markup=False)

    def note(self, sentence: str) -> None:
        """Print one line beside the result, also one of a program elsewhere, to standard error."""
        if self.log == "json":
            logger.info("%s", sentence, extra={"event": "note"})
        else:
            self.messages.print(harmless(without_secrets(sentence)), markup=False, highlight=False, soft_wrap=True)

    def complain(self, why: str | PipelineError) -> None:
        """Print why the command ends, to standard error."""
        if self.log == "json":
            logger.error("%s", why, extra={"event": "error"})
            return
        self.messages.print(
            harmless(without_secrets(f"error: {why}")), style="red", markup=False, highlight=False, soft_wrap=True
        )

    def table(self, title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table; numbers are right-aligned, bytes in rows become hexadecimal."""
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        lines = [[_cell(value) for value in row] for row in rows]
        kinds = (
            [all(isinstance(row, int | float) for row in column) for column in zip(*rows, strict=True)] if lines else []
        )
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if kinds and kinds[index] else "left", overflow="fold")
        for line in lines:
            table.add_row(*line)
        self.console.print(table, markup=False)

    def fields(self, title: str, values: Mapping[str, object]) -> None:
        """Print names and values, one per line, below a title of one line."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in values.items():
            table.add_row(name, _cell(value))
        self.console.print(harmless(title), style="bold", markup=False, soft_wrap=True)
        self.console.print(table, markup=False)


def size(count: int) -> str:
    """Bytes for people."""
    return decimal(count)


def report_damage(output: Output, damaged: Sequence[str]) -> None:
    """Name the archive's unreadable files, if any."""
    if damaged:
        output.complain(
            f"damaged: {', '.join(damaged)}. What depends on them was left out, all else is complete; restore "
            "them from a copy"
        )


def jsonable(value: object) -> object:
    """Plain JSON values: ids as hexadecimal, times as ISO 8601, what JSON has no word for as text."""
    text = json.dumps(to_jsonable_python(value, bytes_mode="hex", fallback=str))
    return json.loads(text, parse_constant=lambda word: str(float(word)))


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_cell, value)) + "]"
    for kind, show in _SHOWN:
        if isinstance(value, kind):
            return show(value)
    return harmless(str(value))


_SHOWN: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (type(None), lambda none: ""),
    (bytes, bytes.hex),
    (bytearray, bytearray.hex),
    (bool, lambda yes: "yes" if yes else "no"),
    (int, lambda number: f"{number:,}"),
    (float, lambda number: f"{number:,.2f}"),
    (datetime, lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S")),
)


def set_up_logging(level: str, output: Output) -> None:
    """Log to standard error: text through the console that also draws progress, or one JSON object per line."""
    handler: logging.Handler = logging.StreamHandler()
    if output.log == "json":
        handler.setFormatter(JsonFormatter())
    elif output.messages.is_terminal:
        handler = RichHandler(console=output.messages, show_path=False, markup=False)
        handler.setFormatter(TextFormatter("%(message)s"))
    else:
        handler.setFormatter(TextFormatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(output.log == "json")
    for name in (None, "py4j.clientserver"):  # a logger's filter does not see what others pass on to it
        logging.getLogger(name).addFilter(_is_not_told_anyway)
    logging.getLogger("luigi-interface").addFilter(_in_one_line)
    for chatty in ("py4j", "luigi", "luigi-interface", "urllib3", "dulwich", "hdfs"):
        logging.getLogger(chatty).setLevel(max(logging.getLevelName(level), logging.WARNING))


def _in_one_line(record: logging.LogRecord) -> bool:
    """Luigi logs a traceback for a task that failed; errors of ours say in a sentence what is wrong."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, PipelineError) and isinstance(record.args, tuple) and not logger.isEnabledFor(logging.DEBUG):
        record.msg, record.args, record.exc_info = f"{record.msg}: %s", (*record.args, error), None
    return True


def _is_not_told_anyway(record: logging.LogRecord) -> bool:
    """py4j logs a traceback for a call that an interrupt or Java's end cuts off; the command says so in one line."""
    return record.msg not in (
        "KeyboardInterrupt while sending command.",
        "Exception while sending command.",
        "Exception occurred while shutting down connection",
    )
