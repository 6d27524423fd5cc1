"""Java's standard error, without lines that no reader can do anything about."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NOISE = (b"WARNING: Using incubator modules",)
"""Starts of lines that are left out. Spark starts Java with a module that Java calls unfinished, every time."""


@contextmanager
def without_noise() -> Iterator[None]:
    """Programs that are started inside have a standard error that is passed on to ours line by line, but for noise.

    What this process itself writes there meanwhile takes the same way. Passing on goes on until the last of those
    programs has ended.
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
            if not line.startswith(NOISE):
                out.write(line)
