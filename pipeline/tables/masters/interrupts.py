"""SIGINT and SIGTERM: raised where Python runs, and noted where an exception out of nowhere would be lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_REQUEST_S = 1.0
"""Signals so soon after the first one are the same request: ``timeout`` sends it to a process and to its group."""

_RAISED_AGAIN_AFTER_S = 0.02


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells expect of a command that a signal ended: 130 or 143."""
        return 128 + self.number


@dataclass(slots=True)
class Interrupts:
    """Whether an interrupt came, and which was the first."""

    number: int | None = None

    @property
    def came(self) -> bool:
        """Whether one came."""
        return self.number is not None

    def check(self) -> None:
        """Raise ``Interrupted`` if one came."""
        if self.number is not None:
            raise Interrupted(self.number)


@dataclass(slots=True)
class _Process:
    """Interrupts of this whole process: how many came, which the last was, and when the last one was raised."""

    came: int = 0
    number: int = 0
    last: float | None = None
    at_end: list[Callable[[], None]] = field(default_factory=list)

    def note(self, number: int) -> None:
        """Count one that came."""
        self.came, self.number = self.came + 1, number


_process = _Process()


def interrupted() -> bool:
    """Whether an interrupt of this process came."""
    return _process.came > 0


def raise_interrupts() -> None:
    """Let SIGINT and SIGTERM raise ``Interrupted`` in the main thread from here on, even if one comes in a finalizer,
    where Python ignores exceptions.
    """
    for number in SIGNALS:
        signal.signal(number, _raise)
    ignored = sys.unraisablehook

    def look(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            ignored(unraisable)
            return
        _process.last = None
        again = threading.Timer(_RAISED_AGAIN_AFTER_S, os.kill, (os.getpid(), unraisable.exc_value.number))
        again.daemon = True
        again.start()

    sys.unraisablehook = look


def _raise(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _process.last is not None and now - _process.last < ONE_REQUEST_S:
        return
    _process.last = now
    _process.note(number)
    raise Interrupted(number)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Keep the handlers of signals that were there before the block.

    PySpark's own calls the JVM in the middle of the call that it interrupts, on the same connection.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def outranking_errors() -> Iterator[None]:
    """Let an interrupt count more than an error that it led to: what cleans up may find a call of Spark's cut off.

    Raises:
        Interrupted: instead of any error that ends the block, if an interrupt came inside it.
    """
    before = _process.came
    try:
        yield
    except Exception as error:
        if _process.came > before:
            raise Interrupted(_process.number) from error
        raise


def before_end(action: Callable[[], None], *, first: bool = False) -> None:
    """Do something before an interrupt ends this process, after all else has been cleaned up.

    Args:
        first: before all that is known by now.
    """
    if action not in _process.at_end:
        _process.at_end.insert(0 if first else len(_process.at_end), action)


def clean_up() -> None:
    """Do what ``before_end`` was given, in that order."""
    while _process.at_end:
        _process.at_end.pop(0)()


@contextmanager
def looked_for() -> Iterator[Interrupts]:
    """Let SIGINT and SIGTERM only be noted inside the block; a second one is raised at once, the last one at its end.

    py4j sends a command whenever Python drops a Java object, and Python ignores exceptions there. Outside the main
    thread, which alone gets signals, this does nothing.
    """
    noted = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.check()
        noted.number = number
        _process.note(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    noted.check()
