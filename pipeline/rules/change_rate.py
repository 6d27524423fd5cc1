"""How often an origin changes, from visits that only tell whether it changed since the visit before.

A night with a change counts once, however many pushes it had. A visit after ``k`` nights that finds a change saw one or
more such nights, so dividing changes by nights would find too few. What is counted instead is the expected number of
nights with a change, given that there was one: the step of an EM algorithm, whose fixed point is the likeliest rate.

All formulas take numbers, arrays or Spark's columns, see ``Arithmetic``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.rules.arithmetic import NUMPY, Arithmetic, Values

HALF_LIFE_NIGHTS = 60.0
"""What was seen so long ago counts half: pushes come in bursts, which a longer memory does not follow."""

SHAPE = 0.2
"""Of the gamma distribution of rates among origins: most change hardly ever, some every night."""

USUAL_HAZARD = 0.05
"""Changes a night of an origin about which nothing is known, before the archive knows any better."""

LIKE_OTHERS = 4.0
"""Changes of which signals are taken to have told as often as of those of all origins, before an origin's own count."""

HARDLY_EVER, EVERY_NIGHT = 1e-6, 0.999
"""Least and greatest hazard: the probability that a night has a change."""

LEAST_NIGHTS = 0.01
"""Nights between two visits that count as different times."""

OFTEN, SOON, FALLS, MOST_USUAL = 0.24, 5.0, 1.3, 0.5
"""Usual hazard of an origin: ``OFTEN sqrt(days) / (quiet + SOON) ** FALLS``, at most ``MOST_USUAL``. Decision
66 has the pushes to which it is fitted."""

LATE_NIGHTS, LATE = 30.0, 1_000.0
"""A push that waits so long without a signal costs so many nights more."""

EVIDENCE = 2.0
"""Nights of ``USUAL_HAZARD`` that a guess begins with while visits are counted."""


class Counts(NamedTuple):
    """What the visits to an origin saw, older ones counting less.

    ``changes``: nights with a change; ``silent``: those of them of which no signal told; ``nights``: all nights.
    """

    changes: Values
    silent: Values
    nights: Values


class Dates(NamedTuple):
    """What an archive knows of an origin's commits.

    ``days``: days with a commit among those that its visits brought; 0 if they brought none.
    ``quiet``: nights between the newest one and the last visit; 0 if that came in the night after it.
    """

    days: Values
    quiet: Values


@dataclass(frozen=True, slots=True)
class Usual:
    """Hazards of the archive's origins on average: of any change, and of those of which no signal tells."""

    hazard: float = USUAL_HAZARD
    silent: float = USUAL_HAZARD

    @classmethod
    def of(cls, total: Counts) -> Usual:
        """The averages, given the sums over all origins; rounded, as sums depend on the order of what is added."""
        if not total.nights > 0:
            return cls()
        hazards = (min(max(n / total.nights, HARDLY_EVER), EVERY_NIGHT) for n in (total.changes, total.silent))
        return cls(*(float(f"{hazard:.6g}") for hazard in hazards))


def counts_after(before: Counts, nights: Values, changed: Values, signalled: Values, of: Arithmetic = NUMPY) -> Counts:
    """The counts after a visit that ended well, as did the one before it.

    Args:
        nights: since the visit before, at least ``LEAST_NIGHTS``.
        changed: whether it found a change.
        signalled: whether a signal had told so.
    """
    kept = of.exp(nights * (-math.log(2) / HALF_LIFE_NIGHTS))
    hazard = of.least((before.changes + EVIDENCE * USUAL_HAZARD) / (before.nights + EVIDENCE), EVERY_NIGHT)
    seen = nights * hazard / -of.expm1(nights * of.log1p(-hazard))
    return Counts(
        before.changes * kept + of.where(changed, seen, 0.0),
        before.silent * kept + of.where(changed & ~signalled, seen, 0.0),
        before.nights * kept + nights,
    )


def rate(changes: Values, nights: Values, usual: Values, of: Arithmetic = NUMPY) -> Values:
    """Changes a night as the rate of a Poisson process: counted ones, and ``SHAPE`` usual ones for lack of knowledge.

    Args:
        usual: the average hazard of all origins, or of those like it.
    """
    hazard = (changes + SHAPE) / (nights + SHAPE / usual)
    return -of.log1p(-of.least(of.greatest(hazard, HARDLY_EVER), EVERY_NIGHT))


def usual_hazard(dates: Dates, usual: Usual, of: Arithmetic = NUMPY) -> Values:
    """Changes a night of an origin before its visits are counted, as of the last one: by the dates of its commits."""
    often = of.exp(of.log(of.greatest(dates.days, 1) * 1.0) * 0.5 - of.log(dates.quiet + SOON) * FALLS) * OFTEN
    return of.where(dates.days > 0, of.least(of.greatest(often, HARDLY_EVER), MOST_USUAL), usual.hazard)


def silent_part(counts: Counts, usual: Usual) -> Values:
    """The part of an origin's changes of which no signal tells: counted ones, and ``LIKE_OTHERS`` usual ones."""
    return (counts.silent + LIKE_OTHERS * (usual.silent / usual.hazard)) / (counts.changes + LIKE_OTHERS)


def silent_index(silent_rate: Values, nights: Values) -> Values:
    """What a visit saves while nothing is known to wait: nights that pushes would wait.

    After a visit, pushes come at this rate, and each waits from then on. A visit every ``nights`` at the price ``p``
    costs (p + rate nights^2 / 2) / nights a night, which is least at the price that this returns (Whittle's index).
    """
    return silent_rate * nights * nights / 2


def late_index(silent_rate: Values, nights: Values, days: Values, of: Arithmetic = NUMPY) -> Values:
    """What a visit saves in addition once pushes of which no signal told may have waited for ``LATE_NIGHTS``.

    The more days with a commit an origin has had, the sooner another push follows, and a signal may tell of that.
    """
    followed = of.exp(of.log(of.greatest(days, 1) * 1.0) * 0.25)
    return of.where(nights >= LATE_NIGHTS, silent_rate * (LATE * LATE_NIGHTS) / followed, 0.0)


def waiting_index(any_rate: Values, nights: Values) -> Values:
    """The same for an origin of which a signal told, ``nights`` ago, that something waits.

    The next change after a visit takes 1 / rate nights to come; then it waits, and others behind it.
    """
    return 1 / any_rate + nights + any_rate * nights * nights / 2
