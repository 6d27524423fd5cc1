"""What is kept of the committer times of a visit's commits: the newest, and how many days they are of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_US: Final = timedelta(days=1) // _MICROSECOND


class CommitDates:
    """The dates of commits that were added. Needs the memory of one number per day since 1970 at most.

    Whoever makes a commit chooses its date, so those before 1970 or after a given time do not count.

    Args:
        until: the last time that counts, with time zone.
    """

    def __init__(self, until: datetime) -> None:
        self._until_us = (until - _EPOCH) // _MICROSECOND
        self._newest_us: int | None = None
        self._days: set[int] = set()

    def add(self, time_us: int | None) -> None:
        """Add a commit by its committer time in microseconds since 1970, UTC; None if it has none."""
        if time_us is None or not 0 <= time_us <= self._until_us:
            return
        if self._newest_us is None or time_us > self._newest_us:
            self._newest_us = time_us
        self._days.add(time_us // _DAY_US)

    @property
    def newest(self) -> datetime | None:
        """The newest time, in UTC; None if no commit has one that counts."""
        return None if self._newest_us is None else _EPOCH + self._newest_us * _MICROSECOND

    @property
    def days(self) -> int:
        """How many days in UTC the times are of."""
        return len(self._days)
