"""Waiting for what sends no notification: files, processes and objects of others."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(found: Callable[[], T | None], otherwise: str, *, limit_s: float = 300, pause_s: float = 0.05) -> T:
    """What was found at last.

    Args:
        found: looks for it; anything false is nothing.
        otherwise: what to fail with if it never comes.
    """
    limit = time.monotonic() + limit_s
    while not (there := found()):
        assert time.monotonic() < limit, otherwise
        time.sleep(pause_s)
    return there
