"""What log lines are about, and their two forms: a line of text for people, a JSON object for programs.

Both are safe to show: without secrets, and whatever other people's text contains, an event is one line of JSON, or one
line of text that begins at the margin.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from re import sub

from pipeline.model.redact import harmless, one_line, without_secrets

FIELDS = ("night", "run", "bucket", "network", "origin", "code")
"""What an event may be about, in this order: a load's night, a run's id, and so on; ``code`` is an error's."""

SPARK_PROPERTY = "pipeline.log"
"""Local property of Spark's, by which the driver tells Python workers what their events are about; JSON."""

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_MARGIN = "    "
_process: dict[str, object] = {}
_here: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """What this thread logs while the block runs, and processes that it forks, is about these ``FIELDS``."""
    token = _here.set({**_here.get(), **fields})
    try:
        yield
    finally:
        _here.reset(token)


@contextmanager
def all_about(**fields: object) -> Iterator[None]:
    """As ``about``, for all threads of this process."""
    before = dict(_process)
    _process.update(fields)
    try:
        yield
    finally:
        _process.clear()
        _process.update(before)


def fields_here() -> dict[str, object]:
    """What this thread's events are about now."""
    return {**_process, **_here.get()}


class TextFormatter(logging.Formatter):
    """Lines for people. Further lines of an event, such as a traceback, are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The event, without secrets and control characters."""
        return harmless(without_secrets(super().format(record))).replace("\n", f"\n{_MARGIN}")


class JsonFormatter(logging.Formatter):
    """Lines for programs: ``time`` (UTC), ``level``, ``logger``, ``event``, ``message``, ``FIELDS`` as far as they are
    known, and ``traceback``.

    ``event`` is the message before values are filled in, so it is equal for equal events; docs/logs.md lists them.
    ``extra`` of a call overrides what the thread's events are about.
    """

    def __init__(self, surroundings: Callable[[], Mapping[str, object]] = fields_here) -> None:
        super().__init__()
        self._surroundings = surroundings

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line."""
        given = {name: record.__dict__[name] for name in (*FIELDS, "event") if name in record.__dict__}
        known = {"code": code_of(record), **self._surroundings(), **given}
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": _shown(known.get("event", record.msg)),
            "message": _spelled(record.getMessage()),
        }
        line |= {name: _plain(name, known[name]) for name in FIELDS if known.get(name) is not None}
        if record.exc_info:
            line["traceback"] = harmless(without_secrets(self.formatException(record.exc_info)))
        return json.dumps(line)


def code_of(record: logging.LogRecord) -> str | None:
    """The code of the error that a record is about: its own, such as ``timeout``, or its type's name."""
    args = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    error = next((value for value in (*args, raised) if isinstance(value, BaseException)), None)
    if error is None:
        return None
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()


def logs_json() -> bool:
    """Whether this process logs for programs."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def _plain(name: str, value: object) -> object:
    """A bucket is a number; a network's 63 bits are too many for programs that read numbers as doubles."""
    return value if name == "bucket" else _shown(value)


def _shown(value: object) -> str:
    return one_line(str(value))


def _spelled(text: str) -> str:
    return harmless(without_secrets(text)).replace("\n", "\\n").replace("\t", "\\t")
