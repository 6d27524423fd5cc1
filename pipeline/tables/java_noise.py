"""Java's standard error, without lines that nobody can act on: some of its start, and all after an interrupt."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.model.log import JsonFormatter, logs_json
from pipeline.tables.masters.interrupts import interrupted

NOISE = (b"WARNING: Using incubator modules",)
"""Starts of lines that are left out. Spark always starts Java with a module that Java calls incubating."""

EVENT_BEGINS = b'{"time": '


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
        for line in lines:
            if not line.startswith(NOISE) and not interrupted():
                out.write(_as_event(line) if logs_json() else line)


def _as_event(line: bytes) -> bytes:
    """A line of Java's as an event of the logger ``java``; events of Python processes come this way, too, and stay."""
    if line.startswith(EVENT_BEGINS):
        return line
    said = line.decode(errors="replace").rstrip("\n")
    record = logging.LogRecord("java", logging.ERROR, "", 0, "%s", (said,), None)
    record.event = "java"
    return JsonFormatter().format(record).encode() + b"\n"
