"""Which origins are visited and when again, and how a visit changes an origin's standing. Touches no table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product

from pipeline.model.origin import OriginState
from pipeline.model.visit import LOGIN_REQUIRED, VisitStatus
from pipeline.rules.arithmetic import Values

LOOKED_AT = (OriginState.ACTIVE, OriginState.GONE)
"""States in which origins are due at their ``next_due``, or at once without one."""

COUNTED = tuple(status for status in VisitStatus if status is not VisitStatus.DEFERRED)
"""Statuses of visits that say something about the origin."""

GONE_AFTER = 5
LONGEST_WAIT_DAYS = 7
GONE_WAIT_DAYS = 30

FARTHEST_DUE_DAYS = GONE_WAIT_DAYS + 1
"""Longest time from a night to the next visit: a visit may be dated tomorrow, plus the longest wait."""

FAILURES_THAT_MATTER = GONE_AFTER + 3
"""Number of consecutive failures beyond which nothing changes, so the rule fits a table."""


def next_due(night: date, *, failures: int, gone: bool) -> date:
    """When to visit an origin again.

    Args:
        night: the night of the visit.
        failures: visits in a row that were not ok, including this one; 0 after a good one.
        gone: the origin's state is ``gone``.

    Returns:
        The next night after a good visit or a first failure, then 2, 4 and at most 7 nights later; 30 if it is gone.
    """
    if gone:
        return night + timedelta(days=GONE_WAIT_DAYS)
    return night + timedelta(days=min(2 ** max(failures - 1, 0), LONGEST_WAIT_DAYS))


@dataclass(frozen=True, slots=True)
class VisitOutcome:
    """An origin after a visit. ``wait_days`` is the time from the visit's night to the next visit."""

    state: OriginState
    failures: int
    wait_days: int


def outcome_of_visit(state: OriginState, failures: int, *, was_not_found: bool, status: VisitStatus) -> VisitOutcome:
    """The standing of an origin after a visit.

    An origin is gone if the server said so on this visit and the one before, and none of the last ``GONE_AFTER`` visits
    succeeded. It is active again as soon as one does. Paused and opted-out origins keep their state.

    A deferred visit changes nothing and has no outcome here: the origin stays due.

    Args:
        state: state before the visit.
        failures: consecutive failures before this visit.
        was_not_found: whether the visit before this one ended with ``not_found``.
        status: status of this visit.
    """
    failures = 0 if status.ok else failures + 1
    if state in LOOKED_AT:
        if status.ok:
            state = OriginState.ACTIVE
        elif status is VisitStatus.NOT_FOUND and was_not_found and failures >= GONE_AFTER:
            state = OriginState.GONE
    wait = next_due(_ANY_NIGHT, failures=failures, gone=state is OriginState.GONE) - _ANY_NIGHT
    return VisitOutcome(state, failures, wait.days)


_ANY_NIGHT = date(2000, 1, 1)


def is_gone_unlisted(state: Values, last_error: Values) -> Values:
    """Whether an origin is gone, given that listings say so of its repository.

    Its server must have hidden it on the last visit, as servers do that never say of what is private that it is there.
    If visits end well, or in another way, they say more than a listing.

    Args:
        state, last_error: of the origin; texts or columns.
    """
    return (state == str(OriginState.ACTIVE)) & (last_error == LOGIN_REQUIRED)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of ``outcome_of_visit`` as a table; ``failures`` ends where it stops to matter."""

    state: str
    failures: int
    was_not_found: bool
    status: str
    new_state: str
    wait_days: int
    ok: bool


def rules() -> Iterator[Rule]:
    """``outcome_of_visit`` for every case that counts."""
    for state, failures, was_not_found, status in product(
        OriginState, range(FAILURES_THAT_MATTER + 1), (False, True), COUNTED
    ):
        after = outcome_of_visit(state, failures, was_not_found=was_not_found, status=status)
        yield Rule(state, failures, was_not_found, status, after.state, after.wait_days, status.ok)
