from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rules.change_rate import Usual
from pipeline.rules.night_budget import NightBudget, Shares
from pipeline.rules.schedule import (
    NO_LIMIT,
    Demand,
    Due,
    Ints,
    Lane,
    PromiseBroken,
    capacity,
    choose,
    most_of_one,
    part_of,
    promised_age,
)
from tests.rules.due import HOSTS, budgets, dues, host_requests, made, shares, some

USUAL = Usual()
ANY_HOST = np.full(HOSTS, NO_LIMIT)


def spent(due: Due, rows: Ints, whole: Ints, shares: Shares) -> Ints:
    """Visits and CPU time, an origin counting no more than what is left beside the share of the oldest."""
    amounts = np.stack([np.ones(len(due), dtype=np.int64), due.cpu_us], axis=1)
    return np.asarray(np.minimum(amounts, most_of_one(whole, shares.oldest))[rows].sum(axis=0))


@given(dues, budgets, host_requests, shares)
def test_no_limit_is_exceeded(due: Due, budget: NightBudget, hosts: Ints, shares: Shares) -> None:
    chosen = choose(due, budget, hosts, shares, USUAL)
    for host, limit in enumerate(hosts):
        counted = np.minimum(due.requests, most_of_one(limit, shares.oldest))
        assert counted[chosen & (due.host == host)].sum() <= limit
    whole = capacity(budget)
    if whole is not None:
        assert (spent(due, np.flatnonzero(chosen), whole, shares) <= whole).all()


@given(dues, budgets, host_requests, shares, st.randoms())
def test_the_answer_does_not_depend_on_the_order_of_rows(
    due: Due, budget: NightBudget, hosts: Ints, shares: Shares, random: object
) -> None:
    order = np.random.default_rng(random.randrange(1000)).permutation(len(due))  # type: ignore[attr-defined]
    chosen = choose(due, budget, hosts, shares, USUAL)
    assert np.array_equal(choose(some(due, order), budget, hosts, shares, USUAL), chosen[order])


@given(dues, shares)
def test_without_limits_all_are_visited(due: Due, shares: Shares) -> None:
    assert choose(due, NightBudget(), ANY_HOST, shares, USUAL).all()
    assert choose(due, NightBudget(origins=len(due)), ANY_HOST, shares, USUAL).all()


@given(dues, st.integers(1, 60), shares)
def test_lanes_have_their_shares(due: Due, origins: int, shares: Shares) -> None:
    """A lane gets its share or all it has; asked-for origins get all that the shares leave; nothing stays unused."""
    chosen = choose(due, NightBudget(origins), ANY_HOST, shares, USUAL)
    assert chosen.sum() == min(origins, len(due))
    quotas = {
        lane: int(part_of(np.int64(origins), share))
        for lane, share in ((Lane.FIRST, shares.first), (Lane.FAILED, shares.failed))
    }
    oldest = int(part_of(np.int64(origins), shares.oldest))
    left = origins - oldest
    for lane, quota in quotas.items():
        there = due.lane == lane
        assert (chosen & there).sum() >= min(there.sum() - oldest, quota, left)
        left -= min(quota, left)
    asked = due.lane == Lane.ASKED
    assert (chosen & asked).sum() >= min(asked.sum() - oldest, left)
    if (due.lane == Lane.KNOWN).any() and (asked & ~chosen).any():
        beside = chosen & (due.lane == Lane.KNOWN)
        assert beside.sum() <= oldest, "nobody of the rest comes before those that people asked for"


@given(dues, st.integers(1, 60), shares)
def test_those_that_wait_longest_are_among_the_chosen(due: Due, origins: int, shares: Shares) -> None:
    chosen = choose(due, NightBudget(origins), ANY_HOST, shares, USUAL)
    oldest = np.lexsort((-due.tie, -due.waited))[: int(part_of(np.int64(origins), shares.oldest))]
    assert chosen[oldest].all()


@settings(max_examples=20)
@given(st.integers(0, 500), st.integers(2, 20), budgets.filter(lambda b: b.origins or b.cpu_s), shares)
def test_no_origin_starves(seed: int, count: int, budget: NightBudget, shares: Shares) -> None:
    """Whatever signals, requests of people and failures the others have: the promise holds, night after night."""
    rng = np.random.default_rng(seed)
    start = made(seed, count)
    hosts = np.array([6, 20, NO_LIMIT])
    waited = np.ones(count, dtype=np.int64)
    whole = capacity(budget)
    assert whole is not None
    demands = []
    if budget.origins is not None:
        demands.append(Demand("origins", count, budget.origins))
    if budget.cpu_s is not None:
        demands.append(Demand("microseconds", int(start.cpu_us.sum()), int(whole[1])))
    of_hosts = [Demand("requests", int(start.requests[start.host == host].sum()), int(hosts[host])) for host in (0, 1)]
    promise = promised_age(demands, of_hosts, shares, 10**9)
    for _ in range(min(int(2 * promise), 100)):
        lane = rng.integers(0, len(Lane), count)
        signalled = rng.integers(0, 2, count) * rng.integers(0, 50, count)
        due = replace(start, lane=lane, signalled=signalled, waited=waited)
        chosen = choose(due, budget, hosts, shares, USUAL)
        assert chosen.any()
        assert waited[chosen].max() <= promise
        waited = np.where(chosen, 1, waited + 1)
    assert waited.max() <= promise + 1


def test_the_oldest_comes_first_and_then_what_saves_most() -> None:
    due = replace(
        made(1, 4),
        lane=np.full(4, Lane.KNOWN),
        waited=np.array([40, 5, 5, 41]),
        signalled=np.array([0, 0, 3, 0]),
        counts=made(1, 4).counts._replace(
            changes=np.array([0.0, 0.0, 20.0, 0.0]), silent=np.zeros(4), nights=np.array([400.0, 400, 40, 400])
        ),
        cpu_us=np.array([2000, 2000, 2000, 20_000]),
        importance=np.ones(4),
    )
    shares = Shares(0.01, 0.01, 0.01)
    two = choose(due, NightBudget(origins=2), ANY_HOST, shares, Usual(0.02, 0.02))
    assert two.tolist() == [False, False, True, True], "the oldest, then the one of which a signal told"
    heavy = choose(due, NightBudget(origins=3, cpu_s=0.03), ANY_HOST, shares, Usual(0.02, 0.02))
    assert heavy[3], "the oldest is visited even if it costs most of the night"


def test_what_is_important_comes_before_its_equals() -> None:
    due = made(3, 40)
    due = replace(due, lane=np.full(40, Lane.KNOWN), waited=np.full(40, 9), signalled=np.zeros(40, dtype=np.int64))
    due = replace(due, counts=due.counts._replace(changes=np.ones(40), silent=np.ones(40), nights=np.full(40, 50.0)))
    chosen = choose(due, NightBudget(origins=10), ANY_HOST, Shares(0.1, 0.1, 0.1), USUAL)
    assert due.importance[chosen].sum() >= 8 * 9


def test_a_promise_that_cannot_be_kept_is_refused_with_its_arithmetic() -> None:
    demands = [Demand("origins", 1_200_000, 100_000)]
    assert promised_age(demands, [], Shares(), 121) == 121
    with pytest.raises(PromiseBroken) as caught:
        promised_age(demands, [Demand("requests to h", 9_000, 1_000), Demand("requests to i", 5, 1)], Shares(), 90)
    assert str(caught.value) == (
        "an origin may wait 211 nights for its visit, and schedule.greatest_age_nights promises 90: 1,200,000 origins, "
        "10 % of 100,000 a night for the oldest; 9,000 requests to h, 10 % of 1,000 a night for the oldest. Give the "
        "night more, raise schedule.shares.oldest, or promise less"
    )
