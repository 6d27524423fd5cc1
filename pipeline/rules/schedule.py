"""Which origins a night visits if it may not visit all that are due. Decides for millions of origins at once.

Each origin is in one lane; each lane has an order. A share of the budget goes to those that wait longest, whatever
their lane: that is what makes the greatest age a promise, see ``rules/promise.py``. The lanes of first visits and of
failures have shares, too.
What is left goes to origins that people asked for, then to those whose visit saves most age for what it costs, then to
further first visits and failures. The same happens first within each host that has a limit of its own, so that no host
is planned beyond it; what is not chosen stays due.

The order of equal origins is that of a number of each (``tie``), so the answer is the same on a rerun.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pipeline.rules.arithmetic import NUMPY, Arithmetic, Values
from pipeline.rules.change_rate import (
    Counts,
    Dates,
    Usual,
    late_index,
    rate,
    silent_index,
    silent_part,
    usual_hazard,
    waiting_index,
)
from pipeline.rules.night_budget import MICRO, VISIT_S, NightBudget, Shares, micros_of, part_of

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OBJECTS_PER_CPU_S = 15_000.0
"""Objects that a fetch task receives, checks and lands in a CPU second; docs/BENCHMARKS.md measures it."""

REQUESTS, MORE_REQUESTS = 2, 1
"""Requests of a visit without news, and further ones of a visit that is expected to bring some."""

STEPS, OCTAVES = 1024, 32
"""A rank is a logarithm to base 2, in such steps, between -32 and 32: 0 to 65535."""

MOST_RANK = 2 * OCTAVES * STEPS - 1

MOST_WAITED = MOST_RANK >> 1
"""Nights beyond which all have waited equally long."""


class Lane(IntEnum):
    """Why an origin is visited; the first that is true of it."""

    ASKED = 0
    FIRST = 1
    FAILED = 2
    KNOWN = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the choice: the origins of ``lane``, None for all by their waiting time, up to a share of the budget.

    ``whole``: the last one may exceed the share, so that the share is always used up.
    """

    lane: Lane | None
    share: float
    whole: bool = False


def stages(shares: Shares) -> Iterator[Stage]:
    """The steps, in order."""
    yield Stage(None, shares.oldest, whole=True)
    yield Stage(Lane.FIRST, shares.first)
    yield Stage(Lane.FAILED, shares.failed)
    for lane in (Lane.ASKED, Lane.KNOWN, Lane.FIRST, Lane.FAILED):
        yield Stage(lane, 1.0)


@dataclass(frozen=True, slots=True)
class Due:
    """The due origins, a column each, in any order.

    Attributes:
        lane: ``Lane``.
        waited: whole nights since the last visit, or since it was added; at least 1.
        signalled: whole nights since a signal told of a change, this one included; 0 if none did.
        counts: what visits saw.
        dates: what they brought.
        cpu_us: predicted CPU time of a visit, at least 1.
        requests: predicted requests, at least 1.
        importance: greater than 0; what a night of its age counts.
        host: a number of its host, from 0.
        tie: decides between equals; each has another.
    """

    lane: Ints
    waited: Ints
    signalled: Ints
    counts: Counts
    dates: Dates
    cpu_us: Ints
    requests: Ints
    importance: Floats
    host: Ints
    tie: Ints

    def __len__(self) -> int:
        return len(self.lane)


def rank(value: Values, of: Arithmetic = NUMPY) -> Values:
    """Where a value stands, on a scale of logarithms. Powers of two are not on the edge of a step."""
    steps = of.whole(of.log(of.greatest(value, 1e-300)) * (STEPS / math.log(2)) + (OCTAVES * STEPS + 1e-4))
    return of.least(of.greatest(steps, 0), MOST_RANK)


def price(cpu_us: Values, budget: NightBudget) -> Values:
    """The part of the budget that a visit takes, in units that all visits of a night share."""
    if budget.cpu_s is None:
        return 1.0
    if budget.origins is None:
        return cpu_us / (VISIT_S * MICRO)
    return cpu_us * (budget.origins / (budget.cpu_s * MICRO)) + 1.0


def worth(state: Values, budget: NightBudget, usual: Usual, of: Arithmetic = NUMPY) -> Values:
    """The place of an origin in the order of its lane, by ``rank``; the greatest come first.

    Args:
        state: has the attributes of ``Due``; all numbers.
    """
    counts, dates = state.counts, state.dates
    changes = rate(counts.changes, counts.nights, usual_hazard(dates, usual, of), of)
    waits = waiting_index(changes, state.signalled * 1.0)
    waited = state.waited * 1.0
    each = silent_index(1.0, waited) + late_index(1.0, waited, dates.days, of)
    silent = changes * silent_part(counts, usual) * each  # both grow with the rate, which Spark would copy
    saved = of.where(state.signalled > 0, waits, silent)
    value = of.where(state.lane == int(Lane.KNOWN), saved, state.waited * 1.0)
    return rank(state.importance * value / price(state.cpu_us, budget), of)


def averaged(before: Values, objects: Values) -> Values:
    """The average of objects after a visit that brought some."""
    return before + (objects - before) * NEWEST


NEWEST = 0.3
"""What the newest visit counts in an average."""

FIRST_OBJECTS = 5_000.0
"""Objects that a first visit is expected to bring."""


def cpu_us(objects: Values, of: Arithmetic = NUMPY) -> Values:
    """CPU time of a visit that is expected to bring so many objects."""
    return of.whole((objects * (1 / OBJECTS_PER_CPU_S) + VISIT_S) * MICRO)


def most_of_one(capacity: Values, share: float) -> Values:
    """As what a single origin counts at most, so that the share of the oldest never stops at one that is too large."""
    return part_of(capacity, 1 - share)


def oldest_first(waited: Values, promised: Values, of: Arithmetic = NUMPY) -> Values:
    """The place in the share of those that wait longest: hosts that the greatest age is promised to come first."""
    return of.least(waited, MOST_WAITED) + of.where(promised, MOST_WAITED + 1, 0)


def choose(
    due: Due,
    budget: NightBudget,
    host_requests: Ints,
    shares: Shares,
    usual: Usual,
    promised: Bools | None = None,
) -> Bools:
    """Which of the due origins are visited.

    Args:
        host_requests: by host, the requests that it gets this night; ``NO_LIMIT`` for any number.
        usual: average rates of the archive.
        promised: by host, whether the greatest age is promised to it; None for all.
    """
    keys = worth(due, budget, usual)
    oldest = oldest_first(due.waited, np.True_ if promised is None else promised[due.host])
    chosen: Bools = host_requests[due.host] == NO_LIMIT
    if not chosen.all():
        limited = _within(due, ~chosen, oldest, keys, due.host, due.requests[:, None], host_requests[:, None], shares)
        chosen |= limited
    whole = capacity(budget)
    if whole is None:
        return chosen
    amounts = np.stack([np.ones(len(due), dtype=np.int64), due.cpu_us], axis=1)
    return _within(due, chosen, oldest, keys, np.zeros(len(due), dtype=np.int64), amounts, whole[None, :], shares)


NO_LIMIT = np.iinfo(np.int64).max >> 1


def capacity(budget: NightBudget) -> Ints | None:
    """Visits and microseconds of a night; None without limits of them."""
    if budget.origins is None and budget.cpu_s is None:
        return None
    micros = NO_LIMIT if budget.cpu_s is None else micros_of(budget.cpu_s)
    return np.array([NO_LIMIT if budget.origins is None else budget.origins, micros], dtype=np.int64)


def _within(
    due: Due, among: Bools, oldest: Ints, keys: Ints, group: Ints, amounts: Ints, capacity: Ints, shares: Shares
) -> Bools:
    """Those chosen in each group, given the capacity of each.

    Args:
        among: which ones may be chosen.
        amounts: one row per origin, one column per kind of limit.
        capacity: one row per group.
    """
    amounts = np.minimum(amounts, most_of_one(capacity, shares.oldest)[group])
    left, chosen = capacity.copy(), np.zeros(len(due), dtype=np.bool_)
    for stage in stages(shares):
        may = among & ~chosen
        if stage.lane is not None:
            may &= due.lane == stage.lane
        rows = np.flatnonzero(may)
        if not len(rows):
            continue
        first = oldest if stage.lane is None else keys
        quota = np.minimum(part_of(capacity, stage.share), left)
        rows = rows[_prefix(group[rows], first[rows], due.tie[rows], amounts[rows], quota, left, stage.whole)]
        chosen[rows] = True
        for kind in range(amounts.shape[1]):
            spent = np.bincount(group[rows], weights=amounts[rows, kind], minlength=len(left))
            left[:, kind] -= spent.astype(np.int64)
    return chosen


def _prefix(
    group: Ints, first: Ints, tie: Ints, amounts: Ints, quota: Ints, left: Ints, whole: bool
) -> npt.NDArray[np.intp]:
    """Positions of the greatest of each group that stay within its quota, or that reach it if ``whole``."""
    order = np.lexsort((-tie, -first, group))
    group, amounts = group[order], amounts[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    sums = np.cumsum(amounts, axis=0)
    before_group = (sums - amounts)[begins]
    sums = sums - np.repeat(before_group, np.diff(begins, append=len(group)), axis=0)
    taken = (sums <= left[group]).all(axis=1)
    within = (sums - amounts < quota[group]) if whole else (sums <= quota[group])
    return order[taken & within.all(axis=1)]
