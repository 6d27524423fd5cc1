"""Ways to choose the origins of a night: ours, those of other archives and code searches, and one that knows all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np

from pipeline.rules.change_rate import Counts, Dates, Usual, counts_after
from pipeline.rules.night_budget import MICRO, VISIT_S, NightBudget, Shares
from pipeline.rules.schedule import NO_LIMIT, REQUESTS, Bools, Due, Floats, Ints, Lane, choose


@dataclass(slots=True)
class World:
    """What is known before a night; a column per origin. Nights count from 1; all origins were visited in night 0.

    Attributes:
        night: this one.
        visited: night of the last visit.
        changed: night of the last visit that found something.
        signalled: night since which a signal tells that something waits; 0 if none does.
        waiting: night since which something waits, 0 if nothing does: only an oracle may look.
        newest: night of the last push that is archived; ``NEVER`` if none is.
        days: how many days with a push are archived, those before the first night too.
        tie: decides between equals, another order in each simulation.
    """

    night: int
    visited: Ints
    changed: Ints
    signalled: Ints
    waiting: Ints
    newest: Ints
    days: Ints
    tie: Ints


class Policy(Protocol):
    """Chooses origins, and learns what became of the visits."""

    def choose(self, world: World, budget: int) -> Bools:
        """Which origins to visit, at most ``budget``."""

    def learn(self, world: World, visited: Bools, found: Bools) -> None:
        """What the visits found; ``world`` is as it was before them."""


def _first(budget: int, among: Bools, *order: Ints | Floats) -> Bools:
    """The first ones by the given columns, the last of which counts most."""
    rows = np.flatnonzero(among)
    chosen = np.zeros(len(among), dtype=np.bool_)
    chosen[rows[np.lexsort([column[rows] for column in order])[:budget]]] = True
    return chosen


def _all(world: World) -> Bools:
    return np.ones(len(world.visited), dtype=np.bool_)


class EveryNight:
    """All of them, whatever the budget."""

    def choose(self, world: World, budget: int) -> Bools:
        """All."""
        return _all(world)

    def learn(self, world: World, visited: Bools, found: Bools) -> None:
        """Nothing."""


class Oracle(EveryNight):
    """Knows what waits; what has waited longest comes first."""

    def choose(self, world: World, budget: int) -> Bools:
        """Some of those with something to find."""
        return _first(budget, world.waiting > 0, world.tie, world.waiting)


class OldestFirst(EveryNight):
    """Those whose last visit is longest ago."""

    def choose(self, world: World, budget: int) -> Bools:
        """The oldest."""
        return _first(budget, _all(world), world.tie, world.visited)


class HalfAge(EveryNight):
    """Waits half as long as nothing has changed, between 1 and ``LONGEST`` nights (Sourcegraph, with our nights)."""

    LONGEST = 90

    def choose(self, world: World, budget: int) -> Bools:
        """The due ones, the longest overdue first."""
        due = world.visited + np.clip((world.visited - world.changed) / 2, 1, self.LONGEST)
        return _first(budget, due <= world.night, world.tie, due)


class SwhOffsets:
    """A number per origin that falls by 2 at a change and rises by 1 without one; it says how many nights to wait."""

    BEGIN, DAYS, JITTER = 4, (1, 1, 2, 2, 2), 0.1

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._offset: Ints | None = None
        self._due: Floats = np.zeros(0)

    def choose(self, world: World, budget: int) -> Bools:
        """The first in the queue."""
        if self._offset is None:
            self._offset = np.full(len(world.visited), self.BEGIN)
            self._due = world.visited + self._rng.random(len(world.visited)) * self.DAYS[self.BEGIN]
        return _first(budget, _all(world), world.tie, self._due)

    def learn(self, world: World, visited: Bools, found: Bools) -> None:
        """Move what was visited behind in the queue."""
        assert self._offset is not None
        moved = np.where(found, np.maximum(self._offset - 2, 0), np.minimum(self._offset + 1, self.BEGIN + 4))
        self._offset = np.where(visited, moved, self._offset)
        short = np.array(self.DAYS)[np.minimum(self._offset, self.BEGIN)]
        days = np.where(self._offset > self.BEGIN, 4.0 ** (self._offset - self.BEGIN), short)
        jitter = 1 + self.JITTER * (2 * self._rng.random(len(days)) - 1)
        self._due = np.where(visited, self._due + days * jitter, self._due)


class SwhLag(EveryNight):
    """By how long after the last visit a listing says that it was changed; the rest of the budget to the oldest."""

    OF_LISTED = 0.98

    def choose(self, world: World, budget: int) -> Bools:
        """Those with a lag, then the others."""
        lag = np.where(world.signalled > 0, world.signalled - world.visited, 0)
        lagging = _first(int(budget * self.OF_LISTED), lag > 0, world.tie, -lag)
        return lagging | _first(budget - int(lagging.sum()), ~lagging, world.tie, world.visited)


@dataclass(slots=True)
class Ours:
    """The planner of ``nightly --budget``."""

    counts: Counts | None = field(default=None)

    def choose(self, world: World, budget: int) -> Bools:
        """As a night does."""
        count = len(world.visited)
        if self.counts is None:
            self.counts = Counts(*np.zeros((3, count)))
        due = Due(
            lane=np.full(count, Lane.KNOWN, dtype=np.int64),
            waited=world.night - world.visited,
            signalled=np.where(world.signalled > 0, world.night - world.signalled + 1, 0),
            counts=self.counts,
            dates=Dates(world.days, np.maximum(world.visited - world.newest, 0)),
            cpu_us=np.full(count, int(VISIT_S * MICRO)),
            requests=np.full(count, REQUESTS),
            importance=np.ones(count),
            host=np.zeros(count, dtype=np.int64),
            tie=world.tie,
        )
        usual = Usual.of(Counts(*(column.sum() for column in self.counts)))
        return choose(due, NightBudget(origins=budget), np.array([NO_LIMIT]), Shares(), usual)

    def learn(self, world: World, visited: Bools, found: Bools) -> None:
        """Count what the visits saw."""
        assert self.counts is not None
        after = counts_after(self.counts, (world.night - world.visited) * 1.0, found, world.signalled > 0)
        self.counts = Counts(*(np.where(visited, new, old) for new, old in zip(after, self.counts, strict=True)))


POLICIES: MappingProxyType[str, Callable[[int], Policy]] = MappingProxyType(
    {
        "every night": lambda seed: EveryNight(),
        "oracle": lambda seed: Oracle(),
        "ours": lambda seed: Ours(),
        "oldest first": lambda seed: OldestFirst(),
        "half age": lambda seed: HalfAge(),
        "SWH offsets": SwhOffsets,
        "SWH lag": lambda seed: SwhLag(),
    }
)
"""All policies by name; each is made anew for a simulation, with its seed."""
