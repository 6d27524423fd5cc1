"""Which hosts the greatest age is promised to: all, but for those with more origins than its nights allow.

In each night those that wait longest use up their share of one of the limits: of the archive, or of their host. So no
origin waits longer than all origins of the archive take together at that share, and then all those of its host, one
after another. A host with too many loses the promise for itself alone: it no longer takes part in that share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.model.night_summary import Unpromised
from pipeline.rules.arithmetic import Values
from pipeline.rules.night_budget import MICRO, VISIT_S, NightBudget, Shares, micros_of, part_of

Floats = npt.NDArray[np.float64]


def archive_nights(origins: Values, cpu_us: Values, budget: NightBudget, shares: Shares) -> Values:
    """Nights that visits take at the share of the oldest, by the limits of the archive."""
    nights = 0.0 * origins
    if budget.origins is not None:
        nights = nights + origins / int(part_of(budget.origins, shares.oldest))
    if budget.cpu_s is not None:
        nights = nights + cpu_us / int(part_of(micros_of(budget.cpu_s), shares.oldest))
    return nights


def least_age(budget: NightBudget, shares: Shares) -> float:
    """The nights that a promise must have at least, were there but a single origin."""
    return 1 + float(archive_nights(1, VISIT_S * MICRO, budget, shares))


@dataclass(frozen=True, slots=True)
class Hosts:
    """What the origins of each host take if each is visited once, a column each.

    Attributes:
        nights: by the limits of the archive.
        own_nights: by the limit of the host, 0 without one.
    """

    names: Sequence[str]
    origins: npt.NDArray[np.int64]
    nights: Floats
    own_nights: Floats

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, float, float]]) -> Hosts:
        """The columns of these rows."""
        names, origins, nights, own_nights = zip(*rows, strict=True)
        return cls(names, np.array(origins), np.array(nights), np.array(own_nights))


def unpromised(hosts: Hosts, greatest: int, *, others: tuple[float, float] = (0.0, 0.0)) -> list[Unpromised]:
    """The hosts that lose the promise, those that take most first; as few as it takes to keep it for the others.

    Args:
        others: nights by the limits of the archive, and most by that of a host, of hosts that are smaller than these.
    """
    order = np.lexsort((np.array(list(hosts.names), dtype=np.str_), hosts.nights + hosts.own_nights))
    needed = 1 + others[0] + np.cumsum(hosts.nights[order])
    needed += np.maximum(others[1], np.maximum.accumulate(hosts.own_nights[order]))
    keeping = int((needed <= greatest).sum())
    lost = order[keeping:]
    before = needed[keeping - 1] if keeping else 1 + sum(others)
    alone = before + hosts.nights[lost] + hosts.own_nights[lost]
    found = zip(lost.tolist(), alone.tolist(), strict=True)
    return [
        Unpromised(host=hosts.names[at], origins=int(hosts.origins[at]), nights=round(nights, 1))
        for at, nights in reversed(list(found))
    ]
