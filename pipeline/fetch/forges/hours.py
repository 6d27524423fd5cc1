"""Hours of events: their names, and which of them a pass asks for. Each is a number, hours since 1970."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.fetch.forges.cursor import Cursor
from pipeline.fetch.forges.pages import Progress

LATE_HOURS = 24
"""Hours that a file is waited for after its hour; then it is lost."""

_HOUR_S = 3_600


def hour_of(moment: datetime) -> int:
    """Hours from 1970 to the one that a moment with time zone is in.

    >>> hour_of(datetime(1970, 1, 2, 3, 59, tzinfo=UTC))
    27
    """
    return int(moment.timestamp()) // _HOUR_S


def name_of(hour: int) -> str:
    """An hour as file names have it.

    >>> name_of(27)
    '1970-01-02-3'
    """
    moment = datetime.fromtimestamp(hour * _HOUR_S, UTC)
    return f"{moment:%Y-%m-%d}-{moment.hour}"


def end_of(hour: int) -> datetime:
    """When an hour ends."""
    return datetime.fromtimestamp((hour + 1) * _HOUR_S, UTC)


def hours_to_ask(known: Progress | None, now: datetime, most: int) -> Cursor:
    """The hours that a pass asks for: those after the last one that was asked for, and those that were late.

    Args:
        known: after the pass before; None if there is none.
        most: so many hours are looked back; what is older is passed over. That many are asked for at first.
    """
    end = hour_of(now)
    oldest, last = end - most, 0 if known is None else known.highest
    if known is None or last >= end:  # a clock was wrong
        return Cursor(hours=tuple(range(oldest, end)), floor=end - LATE_HOURS)
    wanted = (*known.late, *range(last + 1, end))
    hours = tuple(hour for hour in wanted if hour >= oldest)
    return Cursor(hours=hours, floor=end - LATE_HOURS, seen=last, jumps=len(wanted) - len(hours))
