"""Visits by host and status, in a bounded size however many hosts there are: anybody may name a million of them."""

from __future__ import annotations

import re
from collections import Counter
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
    """Counts visits by host.

    Sums are exact. A host has at least the visits shown: some are in ``OTHER`` if it was not among those with most all
    the time, and in every part.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Counter[VisitStatus]] = {}
        self._rest: Counter[VisitStatus] = Counter()

    def add(self, origin: str, status: VisitStatus) -> None:
        """Count a visit to an origin."""
        name = host_of(origin) or ""
        self._of(name if _NAME.fullmatch(name) else OTHER)[status] += 1

    def add_all(self, part: Mapping[str, Mapping[VisitStatus, int]]) -> None:
        """Count the visits of a part, as ``most`` returns them."""
        for name, counts in part.items():
            self._of(name).update(counts)

    def most(self, shown: int = HOSTS_SHOWN) -> ByHost:
        """The hosts with most visits, by name, then ``OTHER``, if there is anything else."""
        ranked = self._ranked()
        found = {name: dict(sorted(self._hosts[name].items())) for name in sorted(ranked[:shown])}
        rest = sum((self._hosts[name] for name in ranked[shown:]), Counter(self._rest))
        return found | ({OTHER: dict(sorted(rest.items()))} if rest else {})

    def _ranked(self) -> list[str]:
        return sorted(self._hosts, key=lambda name: (-self._hosts[name].total(), name))

    def _of(self, name: str) -> Counter[VisitStatus]:
        if name == OTHER:
            return self._rest
        if name not in self._hosts and len(self._hosts) >= HOSTS_COUNTED:
            for least in self._ranked()[HOSTS_COUNTED // 2 :]:
                self._rest.update(self._hosts.pop(least))
        return self._hosts.setdefault(name, Counter())
