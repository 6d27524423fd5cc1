"""Which origins are looked at, and what a visit does to an origin's standing. Touches no table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product

from pipeline.model.origin import OriginState
from pipeline.model.visit import GONE_AFTER, GONE_WAIT_DAYS, VisitStatus, next_due

LOOKED_AT = (OriginState.ACTIVE, OriginState.GONE)
"""States of origins that are due once their ``next_due`` has come, or if they have none."""

FARTHEST_DUE_DAYS = GONE_WAIT_DAYS + 1
"""No visit puts the next one farther from a night than this: a visit may be dated tomorrow, and a wait is that long."""

FAILURES_THAT_MATTER = GONE_AFTER + 3
"""More failures in a row than this change nothing any more, so the rule fits a table."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An origin after a visit. ``wait_days`` count from the night of the visit to the next one."""

    state: OriginState
    failures: int
    wait_days: int


def standing_after(state: OriginState, failures: int, *, was_not_found: bool, status: VisitStatus) -> Standing:
    """What a visit makes of an origin.

    An origin is gone when the server said so on this visit and on the one before, and none of the last ``GONE_AFTER``
    visits ended well. It is active again as soon as one does. Paused and opted-out origins stay what people made them.

    Args:
        state: before the visit.
        failures: visits in a row that did not end well, before this one.
        was_not_found: the visit before this one ended with ``not_found``.
        status: of this visit.
    """
    failures = 0 if status.ok else failures + 1
    if state in LOOKED_AT:
        if status.ok:
            state = OriginState.ACTIVE
        elif status is VisitStatus.NOT_FOUND and was_not_found and failures >= GONE_AFTER:
            state = OriginState.GONE
    wait = next_due(_ANY_NIGHT, failures=failures, gone=state is OriginState.GONE) - _ANY_NIGHT
    return Standing(state, failures, wait.days)


_ANY_NIGHT = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of ``standing_after`` as a table; ``failures`` is cut off where it stops to matter."""

    state: str
    failures: int
    was_not_found: bool
    status: str
    new_state: str
    wait_days: int
    ok: bool


def rules() -> Iterator[Rule]:
    """``standing_after`` for every case there is."""
    for state, failures, was_not_found, status in product(
        OriginState, range(FAILURES_THAT_MATTER + 1), (False, True), VisitStatus
    ):
        after = standing_after(state, failures, was_not_found=was_not_found, status=status)
        yield Rule(state, failures, was_not_found, status, after.state, after.wait_days, status.ok)
