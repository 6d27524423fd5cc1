"""Shows the progress of a fetch task on the scheduler's page: now and then, not at every visit."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from pipeline.model.visit import Visit

SHOW_EVERY_S = 1.0


class SchedulerStatus:
    """Counts visits; may be called from several threads.

    Args:
        due: number of visits that the task will make.
        message: takes a sentence; None outside a worker.
        percentage: takes 0 to 100; None likewise.
    """

    def __init__(
        self,
        due: int,
        message: Callable[[str], None] | None,
        percentage: Callable[[int], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._due, self._message, self._percentage, self._clock = due, message, percentage, clock
        self._by_status: Counter[str] = Counter()
        self._shown_at = clock() - SHOW_EVERY_S
        self._lock = threading.Lock()

    def visited(self, visit: Visit) -> None:
        """Count a visit, and show the counts if they were last shown long enough ago or this is the last visit."""
        with self._lock:
            self._by_status[visit.status] += 1
            done = self._by_status.total()
            now = self._clock()
            if done < self._due and now - self._shown_at < SHOW_EVERY_S:
                return
            self._shown_at = now
            outcomes = ", ".join(f"{count} {status}" for status, count in sorted(self._by_status.items()))
            if self._message is not None and self._percentage is not None:
                self._message(f"{done} of {self._due} origins visited: {outcomes}; last {visit.origin}")
                self._percentage(100 * done // max(self._due, 1))
