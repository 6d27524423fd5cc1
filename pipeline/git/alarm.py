"""Calls at given times, by one thread per process: a thread per visit took a third of an unchanged one's CPU time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final


class Alarm:
    """Functions to call, each at its time. The thread begins with the first, and ends when it looks and none is left.

    It looks at the earliest time that was ever set, and is not told when that is cleared: visits that end in time,
    nearly all, do not wake it.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget all calls and the thread, which a forked process does not have."""
        self._changed = threading.Condition(threading.Lock())
        self._calls: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._looks_at = 0.0
        self._runs = False

    def set(self, key: Hashable, at: float, call: Callable[[], None]) -> None:
        """Call a function once, at a time of the monotonic clock. It must be quick, and set and clear nothing."""
        with self._changed:
            if not self._runs:
                self._looks_at = at
                threading.Thread(target=self._run, name="alarm", daemon=True).start()
                self._runs = True
            elif at < self._looks_at:
                self._changed.notify()
            self._calls[key] = at, call

    def clear(self, key: Hashable) -> None:
        """Do not make a call any more. If it is being made, it ends first."""
        with self._changed:
            self._calls.pop(key, None)

    def _run(self) -> None:
        with self._changed:
            try:
                while self._calls:
                    now = time.monotonic()
                    for key in sorted(self._calls, key=self._time_of):
                        if self._time_of(key) > now:
                            break
                        self._calls.pop(key)[1]()
                    if self._calls:
                        self._looks_at = min(map(self._time_of, self._calls))
                        self._changed.wait(self._looks_at - now)
            finally:  # also without memory: the next call that is set starts a thread again
                self._runs = False

    def _time_of(self, key: Hashable) -> float:
        return self._calls[key][0]


ALARM: Final = Alarm()
"""That of this process."""

os.register_at_fork(after_in_child=ALARM.renew)
