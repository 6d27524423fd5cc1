"""A run that dies before a commit."""

from __future__ import annotations

from collections.abc import Callable


class Crash(Exception):
    """The run ends here."""


def crash_after(checks: int) -> Callable[[], None]:
    """A lease check that passes so many times, and then raises ``Crash``."""
    left = [checks]

    def check_lease() -> None:
        if left[0] == 0:
            raise Crash
        left[0] -= 1

    return check_lease
