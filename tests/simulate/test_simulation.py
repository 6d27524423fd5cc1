"""The simulation on pushes that are made here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pipeline.model.errors import UsageError
from pipeline.rules.schedule import Bools
from pipeline.rules.simulate import simulation
from pipeline.rules.simulate.histories import DAY_S, NEVER, BadHistories, Histories, Pushes, read_histories
from pipeline.rules.simulate.policies import POLICIES, Oracle, Ours, Policy, World
from pipeline.rules.simulate.simulation import AFTERWARDS, WARM_UP, Dials, run, simulate


def made_histories(seed: int, names: int = 60) -> Histories:
    """Histories of 1,400 days: most have a push now and then, a few have one every other day."""
    rng = np.random.default_rng(seed)
    rates = np.minimum(rng.gamma(0.2, 0.1, names), 0.6)
    lines = [
        f"{day * DAY_S + 40_000} {name}"
        for name, rate in enumerate(rates)
        for day in np.flatnonzero(rng.random(1_400) < rate)
    ]
    return read_histories("made", [f"{0} 0", f"{1_400 * DAY_S} 0", *lines])


def test_a_line_is_a_time_and_a_name() -> None:
    found = read_histories("list", ["86399 a b", "86400 a b", "90000 a b", "", "5000000 c"])
    assert [days.tolist() for days in found.days] == [[0, 1], [57]]
    assert (found.first.tolist(), found.end) == ([0, 0], 58)
    later = found.later_half()
    assert (later.first.tolist(), later.last.tolist(), later.before.tolist()) == ([29, 29], [58, 58], [2, 0])


def test_each_history_may_be_cut_at_its_own_middle() -> None:
    lines = ["0 a", "172800 a", "604800 a", "864000 once", "8640000 b", "9504000 b"]
    later = read_histories("list", lines).own_later_halves()
    assert [days.tolist() for days in later.days] == [[0, 2, 7], [100, 110]], "a single day has no halves"
    assert (later.first.tolist(), later.last.tolist(), later.before.tolist()) == ([4, 105], [7, 110], [2, 1])
    sampled = later.sample(np.random.default_rng(1), 400, 6)
    pushed = sampled.pushed
    assert later.first[1] + 6 <= later.end < later.last[1] + 6
    assert set(map(tuple, pushed.T.astype(int).tolist())) == {
        (0, 0, 0, 1, 0, 0), (0, 0, 1, 0, 0, 0), (0, 1, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1),
    }, "an origin begins in the later half of its history, and early enough to be watched to the end"  # fmt: skip
    pasts = {
        (int(pushed[:, origin].argmax()), last, days)
        for origin, (last, days) in enumerate(zip(sampled.last.tolist(), sampled.days.tolist(), strict=True))
    }
    assert pasts == {(3, -1, 2), (2, -2, 2), (1, -3, 2), (0, -4, 2), (5, -4, 1)}, "night 0 is the day before the first"


@pytest.mark.parametrize(("lines", "why"), [(["1 a", "x b"], "line 2"), ([], "no pushes")])
def test_what_has_no_times_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(BadHistories, match=why):
        read_histories("list", lines)
    with pytest.raises(UsageError, match="10,000 are needed"):
        made_histories(1).later_half().sample(np.random.default_rng(1), 3, 10_000)


def _without_past(pushed: Bools) -> Pushes:
    origins = pushed.shape[1]
    return Pushes(pushed, np.full(origins, NEVER), np.zeros(origins, dtype=np.int64))


class _Peeking(Oracle):
    """Visits one origin every tenth night, and nothing else."""

    def choose(self, world: World, budget: int) -> Bools:
        return np.arange(len(world.visited)) == (0 if world.night % 10 == 0 else -1)


def test_waits_and_ages_are_counted_by_hand() -> None:
    nights = 20
    pushed = np.zeros((WARM_UP + nights + AFTERWARDS, 2), dtype=np.bool_)
    pushed[WARM_UP + 4, 0] = pushed[WARM_UP + 6, 0] = True  # nights 185 and 187; night 190 visits
    pushed[WARM_UP + 19, 1] = True  # night 200, never visited
    found = run(_Peeking(), _without_past(pushed), np.zeros_like(pushed), 1, nights)
    assert found.mean_wait == pytest.approx((5 + 3 + AFTERWARDS + 1) / 3)
    assert [found.p999_wait, found.within_week, found.visits] == pytest.approx([AFTERWARDS + 1, 2 / 3, 0.1])
    assert found.beyond_month == pytest.approx(1 / 3)
    assert found.fresh == pytest.approx(1 - 6 / 40)
    assert found.mean_age == pytest.approx((1 + 2 + 3 + 4 + 5 + 1) / 40)


class _Reading(Oracle):
    """Visits the first origin in nights 3 and 6, and notes what is known of both before each night."""

    def __init__(self) -> None:
        self.known: list[tuple[list[int], list[int]]] = []

    def choose(self, world: World, budget: int) -> Bools:
        self.known.append((world.newest.tolist(), world.days.tolist()))
        return np.arange(len(world.visited)) == (0 if world.night in (3, 6) else -1)


def test_what_is_known_of_pushes_is_what_visits_brought() -> None:
    pushed = np.zeros((WARM_UP + 1 + AFTERWARDS, 2), dtype=np.bool_)
    pushed[[0, 2, 4], :] = True  # nights 1, 3 and 5
    reading = _Reading()
    run(reading, Pushes(pushed, np.array([-8, NEVER]), np.array([2, 0])), np.zeros_like(pushed), 1, 1)
    before, third, sixth = ([-8, NEVER], [2, 0]), ([3, NEVER], [4, 0]), ([5, NEVER], [5, 0])
    assert reading.known[:8] == [before] * 3 + [third] * 3 + [sixth] * 2


def _order(policy: Policy, world: World) -> list[int]:
    """The origins in the order in which the policy takes them."""
    budgets = range(1, len(world.visited) + 1)
    chosen = [set(np.flatnonzero(policy.choose(world, budget)).tolist()) for budget in budgets]
    assert list(map(len, chosen)) == list(budgets)
    return [min(more - less) for less, more in pairwise([set(), *chosen])]


def _world(visited: list[int], newest: list[int], days: list[int]) -> World:
    none = np.zeros(len(visited), dtype=np.int64)
    return World(
        100, np.array(visited), none, none, none, np.array(newest), np.array(days), np.arange(len(visited))
    )  # fmt: skip


def test_dates_of_commits_decide_between_those_of_which_visits_said_little() -> None:
    old = 40  # the oldest one is taken first, by its share
    lately = _world([old, 80, 80, 80], [-900, -400, 0, 79], [90, 1, 1, 1])
    assert _order(Ours(), lately) == [0, 3, 2, 1]
    often = _world([old, 80, 80, 80], [-900, 0, 0, 0], [1, 1, 7, 50])
    assert _order(Ours(), often) == [0, 3, 2, 1]


def test_signals_are_as_good_as_they_are_said_to_be() -> None:
    rng = np.random.default_rng(1)
    pushed = rng.random((300, 1000)) < 0.02
    signals = simulation._signals(rng, pushed, replace(Dials(), recall=0.7, precision=0.5))
    assert (signals & pushed).sum() / pushed.sum() == pytest.approx(0.7, abs=0.02)
    assert (signals & pushed).sum() / signals.sum() == pytest.approx(0.5, abs=0.02)


def test_no_policy_exceeds_its_budget_and_ours_is_better_than_those_without_knowledge() -> None:
    histories, dials = made_histories(3), Dials(origins=120, nights=60)
    found = simulate(histories, dials, 2)
    assert found.keys() == POLICIES.keys()
    assert found == simulate(histories, dials, 2), "the same answer again"
    assert found["ours"] != simulate(histories, replace(dials, own=True), 2)["ours"]
    allowed = found["oldest first"]["visits"].greatest
    assert all(spreads["visits"].greatest <= allowed for name, spreads in found.items() if name != "every night")
    assert found["every night"]["mean_wait"].greatest == 0
    assert found["oracle"]["mean_wait"].mean <= found["ours"]["mean_wait"].mean
    for name in ("oldest first", "half age", "SWH offsets"):
        assert found["ours"]["mean_wait"].mean < found[name]["mean_wait"].mean, name


def test_every_policy_is_made_anew() -> None:
    policies: list[Policy] = [make(1) for make in POLICIES.values()]
    assert len({type(policy) for policy in policies}) == len(policies)
