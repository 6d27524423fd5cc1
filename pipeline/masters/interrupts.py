"""Interrupts that are looked for, where an exception out of nowhere would be lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Interrupts:
    """Whether an interrupt came."""

    came: bool = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def looked_for() -> Iterator[Interrupts]:
    """Let SIGINT and SIGTERM only be noted inside the block; a second one is raised at once.

    py4j sends a command whenever Python drops a Java object, and Python ignores exceptions there. Outside the main
    thread, which alone gets signals, this does nothing.
    """
    noted = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.check()
        noted.came = True

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
