"""What a night may spend on visits, and which parts of it are kept for some."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.model.host import is_loopback
from pipeline.rules.arithmetic import NUMPY, Arithmetic, Values

VISIT_S = 0.002
"""CPU seconds of a visit that brings nothing."""

MICRO = 1_000_000
"""CPU time is planned in whole microseconds, so that sums do not depend on their order."""

_UNITS = {"s": 1, "m": 60, "h": 3600}
_PART = re.compile(
    r"(?:(?P<name>origins|requests)=(?P<count>[1-9][0-9]*)|cpu=(?P<time>[0-9]+(?:\.[0-9]+)?)(?P<unit>[smh]))"
)


@dataclass(frozen=True, slots=True)
class NightBudget:
    """Limits of one night; None means no limit.

    Attributes:
        origins: visits.
        cpu_s: predicted CPU seconds of all visits.
        requests: predicted requests to each host.
    """

    origins: int | None = None
    cpu_s: float | None = None
    requests: int | None = None

    @classmethod
    def parse(cls, text: str) -> NightBudget:
        """Parse parts such as ``origins=100000,cpu=4h,requests=20000``; each may be left out.

        Raises:
            ValueError: it is no such text, or names a part twice.
        """
        found: dict[str, float] = {}
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            name = "" if match is None else match["name"] or "cpu"
            if match is None or name in found:
                raise ValueError(f"{text!r} is not a budget like origins=100000,cpu=4h,requests=20000")
            found[name] = int(match["count"]) if match["count"] else float(match["time"]) * _UNITS[match["unit"]]
        if not found.get("cpu", 1.0) > 0:
            raise ValueError(f"{text!r}: no visit takes so little time")
        origins, requests = (int(found[name]) if name in found else None for name in ("origins", "requests"))
        return cls(origins, found.get("cpu"), requests)


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the budget that are kept for lanes, as far as they have origins.

    Attributes:
        oldest: for those that wait longest, of all lanes.
        first: for first visits.
        failed: for origins whose last visit failed.
    """

    oldest: float = 0.1
    first: float = 0.3
    failed: float = 0.05


def micros_of(cpu_s: float) -> int:
    """CPU time in microseconds, at least 1."""
    return max(int(cpu_s * MICRO), 1)


def part_of(capacity: Values, share: float, of: Arithmetic = NUMPY) -> Values:
    """A share of a limit, at least 1."""
    return capacity if share >= 1 else of.greatest(of.whole(capacity * share), 1)


@dataclass(frozen=True, slots=True)
class HostRequests:
    """Requests that hosts get in a night: ``named`` ones, this machine, and all others; None for any number."""

    this_machine: int | None = None
    others: int | None = None
    named: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, budget: NightBudget, others: int | None, named: Mapping[str, int | None]) -> HostRequests:
        """What the limits of hosts leave of a budget."""
        most = {host: _least(limit, budget.requests) for host, limit in named.items()}
        return cls(budget.requests, _least(others, budget.requests), most)

    def of_host(self, name: str) -> int | None:
        """The requests of a host, named as in ``model.host``; None for any number."""
        if name in self.named:
            return self.named[name]
        return self.this_machine if is_loopback(name) else self.others


def _least(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
