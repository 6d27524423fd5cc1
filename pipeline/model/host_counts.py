"""Visits by host and status, in a bounded size however many hosts there are: anybody may name a million of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from pipeline.model.host import host_of
from pipeline.model.visit import VisitStatus

HOSTS_SHOWN = 50
"""Hosts that are told apart in the end: those with most visits."""

HOSTS_COUNTED = 10_000
"""Hosts that are told apart while they are counted; of more, the half with fewest visits becomes ``OTHER``."""

OTHER = "(other)"
"""All further hosts together, and whatever is no host's name."""

_NAME = re.compile(r"[a-z0-9._:\[\]-]{1,260}")

ByHost = dict[str, dict[VisitStatus, int]]


class HostCounts:
    """Counts visits by host, and adds up how long they took.

    Sums are exact. A host has at least the visits shown: some are in ``OTHER`` if it was not among those with most all
    the time, and in every part.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Counter[VisitStatus]] = {}
        self._rest: Counter[VisitStatus] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, origin: str, status: VisitStatus, duration_s: float = 0.0) -> None:
        """Count a visit to an origin."""
        found = host_of(origin) or ""
        name = found if _NAME.fullmatch(found) else OTHER
        self._of(name)[status] += 1
        self._seconds[name] += duration_s

    def add_all(self, part: Mapping[str, Mapping[VisitStatus, int]], seconds: Mapping[str, float]) -> None:
        """Count the visits of a part, as ``most`` and ``seconds`` return them."""
        for name, counts in part.items():
            self._of(name).update(counts)
            self._seconds[name] += seconds.get(name, 0.0)

    def most(self, shown: int = HOSTS_SHOWN) -> ByHost:
        """The hosts with most visits, by name, then ``OTHER``, if there is anything else."""
        ranked = self._ranked()
        found = {name: dict(sorted(self._hosts[name].items())) for name in sorted(ranked[:shown])}
        rest = sum((self._hosts[name] for name in ranked[shown:]), Counter(self._rest))
        return found | ({OTHER: dict(sorted(rest.items()))} if rest else {})

    def seconds(self, shown: int = HOSTS_SHOWN) -> dict[str, float]:
        """How long the visits to each of these hosts took, added up; exact to a millisecond."""
        found = {name: round(self._seconds[name], 3) for name in self.most(shown) if name != OTHER}
        rest = sum(self._seconds.values()) - sum(self._seconds[name] for name in found)
        return found | ({OTHER: round(max(rest, 0.0), 3)} if OTHER in self.most(shown) else {})

    def _ranked(self) -> list[str]:
        return sorted(self._hosts, key=lambda name: (-self._hosts[name].total(), name))

    def _of(self, name: str) -> Counter[VisitStatus]:
        if name == OTHER:
            return self._rest
        if name not in self._hosts and len(self._hosts) >= HOSTS_COUNTED:
            for least in self._ranked()[HOSTS_COUNTED // 2 :]:
                self._rest.update(self._hosts.pop(least))
                self._seconds[OTHER] += self._seconds.pop(least)
        return self._hosts.setdefault(name, Counter())
