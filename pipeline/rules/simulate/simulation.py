"""Runs policies over made-up archives, night by night, and measures what waits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from pipeline.rules.schedule import Bools, Floats
from pipeline.rules.simulate.histories import Histories, Pushes
from pipeline.rules.simulate.policies import POLICIES, Policy, World

WARM_UP, AFTERWARDS = 180, 90
"""Nights before those that are measured, and after them: a push that is not archived then has waited so long."""


@dataclass(frozen=True, slots=True)
class Dials:
    """What is simulated.

    Attributes:
        origins: of the archive.
        nights: that are measured.
        budget: visits of a night, as a multiple of the mean number of origins that are pushed to in a day.
        recall: part of the pushes of which a signal tells in the same night.
        precision: part of the signals that tell of a push.
        own: whether each history is cut at the middle of its own time, instead of all on one day.
    """

    origins: int = 3_000
    nights: int = 180
    budget: float = 2.0
    recall: float = 0.8
    precision: float = 0.9
    own: bool = False


@dataclass(frozen=True, slots=True)
class Measures:
    """One policy in one simulation. A push is one of all that an origin gets in a day.

    Attributes:
        fresh: part of the origins of which nothing waits after a night's visits, on average.
        mean_age: nights that the oldest waiting push of an origin waits after the visits, on average over all origins.
        mean_wait: nights from a push to its visit, on average; 0 if it is the next one.
        p999_wait: 999 of 1,000 pushes wait no longer; of fewer than that it is the longest wait.
        beyond_month: part of the pushes that wait more than 30 nights.
        within_week: part of the pushes that wait at most 7 nights.
        visits: per night.
        waits: nights from each push to its visit.
    """

    fresh: float
    mean_age: float
    mean_wait: float
    p999_wait: float
    beyond_month: float
    within_week: float
    visits: float
    waits: Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one measure over all seeds: mean, least and greatest."""

    mean: float
    least: float
    greatest: float


def simulate(histories: Histories, dials: Dials, seeds: int) -> dict[str, dict[str, Spread]]:
    """Measures of each policy, by its name, over so many simulations; ``p999_of_all`` is that of all their pushes.

    Raises:
        UsageError: the later half of the histories is shorter than a simulation.
    """
    later = histories.own_later_halves() if dials.own else histories.later_half()
    found: dict[str, list[Measures]] = {name: [] for name in POLICIES}
    for seed in range(seeds):
        for name, measured in _one(later, dials, seed):
            found[name].append(measured)
    return {name: _spreads(measured) for name, measured in found.items()}


def _spreads(measured: list[Measures]) -> dict[str, Spread]:
    names = [each.name for each in fields(Measures) if each.name != "waits"]
    columns = {name: [getattr(each, name) for each in measured] for name in names}
    columns["p999_of_all"] = [_p999(np.concatenate([each.waits for each in measured]))]
    return {name: Spread(sum(some) / len(some), min(some), max(some)) for name, some in columns.items()}


def _p999(waits: Floats) -> float:
    return float(np.quantile(waits, 0.999, method="higher")) if len(waits) else 0.0


def _one(histories: Histories, dials: Dials, seed: int) -> Iterator[tuple[str, Measures]]:
    rng = np.random.default_rng(seed)
    pushes = histories.sample(rng, dials.origins, WARM_UP + dials.nights + AFTERWARDS)
    budget = max(math.ceil(dials.budget * pushes.pushed.sum(axis=1).mean()), 1)
    signals = _signals(rng, pushes.pushed, dials)
    for name, policy in POLICIES.items():
        yield name, run(policy(seed), pushes, signals, budget, dials.nights)


def _signals(rng: np.random.Generator, pushed: Bools, dials: Dials) -> Bools:
    """True ones, and so many false ones, on any origin in any night, that the precision is right."""
    true = pushed & (rng.random(pushed.shape) < dials.recall)
    false = true.mean() * (1 / dials.precision - 1)
    return np.asarray(true | (rng.random(pushed.shape) < false))


def run(policy: Policy, pushes: Pushes, signals: Bools, budget: int, nights: int) -> Measures:
    """One policy over one archive; ``signals`` has one row per night, like ``pushes.pushed``."""
    pushed = pushes.pushed
    origins = pushed.shape[1]
    none = np.zeros(origins, dtype=np.int64)
    tie = np.random.default_rng(0).permutation(origins)
    world = World(0, none, none.copy(), none.copy(), none.copy(), pushes.last, pushes.days, tie)
    newest, days = pushes.last, pushes.days
    archived = np.full(pushed.shape, len(pushed) + 1)
    fresh: list[float] = []
    ages: list[float] = []
    visits: list[int] = []
    for night, (some, told) in enumerate(zip(pushed, signals, strict=True), 1):
        world.night = night
        world.waiting = np.where(some & (world.waiting == 0), night, world.waiting)
        world.signalled = np.where(told & (world.signalled == 0), night, world.signalled)
        newest, days = np.where(some, night, newest), days + some
        visited = policy.choose(world, budget)
        found = visited & (world.waiting > 0)
        policy.learn(world, visited, found)
        for origin in np.flatnonzero(found):
            since = slice(world.waiting[origin] - 1, night)
            archived[since, origin] = np.minimum(archived[since, origin], night)
        world.changed = np.where(found, night, world.changed)
        world.visited = np.where(visited, night, world.visited)
        world.newest, world.days = np.where(visited, newest, world.newest), np.where(visited, days, world.days)
        world.waiting = np.where(visited, 0, world.waiting)
        world.signalled = np.where(visited, 0, world.signalled)
        if WARM_UP < night <= WARM_UP + nights:
            fresh.append(float((world.waiting == 0).mean()))
            ages.append(float(np.where(world.waiting > 0, night - world.waiting + 1, 0).mean()))
            visits.append(int(visited.sum()))
    waits = _waits(pushed, archived, nights)
    return Measures(
        fresh=float(np.mean(fresh)),
        mean_age=float(np.mean(ages)),
        mean_wait=float(waits.mean()) if len(waits) else 0.0,
        p999_wait=_p999(waits),
        beyond_month=float((waits > 30).mean()) if len(waits) else 0.0,
        within_week=float((waits <= 7).mean()) if len(waits) else 1.0,
        visits=float(np.mean(visits)),
        waits=waits,
    )


def _waits(pushed: Bools, archived: Floats, nights: int) -> Floats:
    """Nights that each measured push waited."""
    night, origin = np.nonzero(pushed[WARM_UP : WARM_UP + nights])
    return np.asarray(archived[night + WARM_UP, origin] - (night + WARM_UP + 1), dtype=np.float64)
