"""Java's standard error, without lines that nobody can act on: some of its start, and all after an interrupt."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from pipeline.model.log import FIELDS, JsonFormatter, logs_json
from pipeline.model.redact import harmless, without_secrets
from pipeline.tables.masters.interrupts import interrupted

NOISE = (b"WARNING: Using incubator modules", b"Terminating due to java.lang.OutOfMemoryError")
"""Starts of lines that are left out. Spark always starts Java with a module that Java calls incubating; what ends for
lack of memory is reported as an error.
"""

EVENT_BEGINS = b'{"time": '

MOST_CHARACTERS = 8 << 10
"""Length of a line of Java's, or of a field of an event, from which the rest is cut off."""

_LONGEST_LINE = 1 << 20
_ALWAYS = frozenset(("time", "level", "logger", "event", "message"))
_MAY_HAVE = frozenset((*_ALWAYS, *FIELDS, "traceback"))


@contextmanager
def without_noise() -> Iterator[None]:
    """Forward the standard error of programs started inside to ours, line by line, without noise.

    This process's own standard error takes the same way. Forwarding continues until the last of those programs has
    ended.
    """
    ours = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    threading.Thread(target=_pass_on, args=(reading, ours), daemon=True, name="java-stderr").start()
    try:
        yield
    finally:
        os.dup2(ours, 2)


def _pass_on(reading: int, ours: int) -> None:
    with os.fdopen(reading, "rb") as lines, os.fdopen(ours, "wb", buffering=0) as out, suppress(OSError):
        for line in iter(partial(lines.readline, _LONGEST_LINE), b""):
            if not line.startswith(NOISE) and not interrupted():
                out.write(_as_event(line) if logs_json() else line)


def _as_event(line: bytes) -> bytes:
    """A line of Java's as an event of the logger ``java``; events of Python processes come this way, too, and stay.

    As anybody may write a line like an event, its fields are made safe as for any other.
    """
    fields = _fields_of(line) if line.startswith(EVENT_BEGINS) else None
    if fields is not None:
        return json.dumps({name: _safe(value) for name, value in fields.items()}).encode() + b"\n"
    said = _cut(line.decode(errors="replace").rstrip("\n"))
    record = logging.LogRecord("java", logging.ERROR, "", 0, "%s", (said,), None)
    record.event = "java"
    return JsonFormatter().format(record).encode() + b"\n"


def _fields_of(line: bytes) -> dict[str, Any] | None:
    """The fields of a line in the form of ``JsonFormatter``; None if it has another one."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not _ALWAYS <= fields.keys() <= _MAY_HAVE:
        return None
    strings = all(isinstance(value, str) for name, value in fields.items() if name != "bucket")
    return fields if strings and type(fields.get("bucket", 0)) is int else None


def _safe(value: str | int) -> str | int:
    return value if isinstance(value, int) else harmless(without_secrets(_cut(value)))


def _cut(text: str) -> str:
    """The text up to ``MOST_CHARACTERS``, without half a word at its end, which may be half a secret."""
    kept = text[:MOST_CHARACTERS]
    return text if kept == text else kept.rpartition(" ")[0]
