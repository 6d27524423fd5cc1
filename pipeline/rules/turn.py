"""When an origin is visited, and why then: a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pipeline.model.origin import OriginState
from pipeline.model.visit import LOGIN_REQUIRED


@dataclass(frozen=True, slots=True)
class Turn:
    """The next visit to an origin. ``night``: the first one that may make it, None if none does; ``why`` a sentence."""

    url: str
    night: date | None
    why: str


def turn_of(
    row: Mapping[str, Any], tonight: date, budget: str | None, greatest_age: int, *, promised: bool | None
) -> Turn:
    """When an origin is visited, and why.

    Args:
        row: of ``origins``.
        tonight: the next night.
        budget: of a night, None if it visits all that are due.
        greatest_age: nights after which a due origin is visited at the latest, if that is promised.
        promised: whether it is, or its host has too many origins for that; None if that is not known.
    """
    state, due = OriginState(row["state"]), row["next_due"]
    if state is OriginState.PAUSED:
        return _turn(row, None, "is not visited, because people paused it; `pipeline origins resume` ends that")
    if state is OriginState.OPTED_OUT:
        return _turn(row, None, "is not visited, because it is opted out; `pipeline origins resume` ends that")
    history = _history(row, state)
    if due is not None and due > tonight:
        return _turn(row, due, f"is due on {due}, because {history}")
    if budget is None:
        return _turn(row, tonight, f"is visited in the next night, {tonight}, as all that are due: {history}")
    if row["asked_at"] is not None:
        return _turn(row, tonight, f"comes first in the next night, {tonight}, because {history}")
    last = max(_day(row["last_visit"] or row["added_at"]) + timedelta(days=greatest_age), tonight)
    when = f"by {last}" if promised else "in some night, as its host has too many origins for a promise"
    if promised is None:
        when = f"in some night: whether by {last} is not known, as too many hosts lost that promise to name all"
    return _turn(
        row, tonight, f"is due since {due or tonight} and visited {when}, as the budget {budget} allows: {history}"
    )


def _turn(row: Mapping[str, Any], night: date | None, predicate: str) -> Turn:
    return Turn(row["url"], night, f"{row['url']} {predicate}.")


def _history(row: Mapping[str, Any], state: OriginState) -> str:
    if row["asked_at"] is not None:
        return f"people asked for it on {_day(row['asked_at'])}"
    if row["last_visit"] is None:
        return f"it was added on {_day(row['added_at'])} and never visited"
    return _last_visit(row, state, _day(row["last_visit"]))


def _last_visit(row: Mapping[str, Any], state: OriginState, last: date) -> str:
    if state is OriginState.GONE and row["last_error"] == LOGIN_REQUIRED:
        return f"it is gone: its forge no longer lists it, or its server said so, and asked for a login on {last}"
    if state is OriginState.GONE:
        return f"its server said several times that it is gone, last on {last}"
    if row["failures"]:
        times = "its last visit" if row["failures"] == 1 else f"its last {row['failures']:,} visits"
        return f"{times} did not end well ({row['last_error'] or row['last_status']} on {last})"
    if row["signalled_at"] is not None:
        kinds = f" ({', '.join(row['signals'])})" if row["signals"] else ""
        return f"a signal told on {_day(row['signalled_at'])} that it changed{kinds}; the last visit was on {last}"
    newest = row["newest_commit"]
    dated = "" if newest is None else f", its newest commit is of {_day(newest)}"
    return f"the last visit was on {last}{dated}, and {_rate(row['changes'], row['watched'])}"


def _rate(changes: float | None, nights: float | None) -> str:
    if not nights:
        return "how often it changes is not known yet"
    return f"it changes once in some {nights / changes:,.0f} nights" if changes else "no visit found a change lately"


def _day(time: datetime) -> date:
    return time.date()
