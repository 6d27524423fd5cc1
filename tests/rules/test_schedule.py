from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rules.change_rate import Dates, Usual
from pipeline.rules.night_budget import NightBudget, Shares, part_of
from pipeline.rules.promise import unpromised
from pipeline.rules.schedule import (
    NO_LIMIT,
    Bools,
    Due,
    Ints,
    Lane,
    capacity,
    choose,
    most_of_one,
)
from tests.rules.due import HOSTS, budgets, dues, host_requests, joined, made, of_hosts, shares, some

USUAL = Usual()
ANY_HOST = np.full(HOSTS, NO_LIMIT)
CAPS = np.array([6, 20, NO_LIMIT])


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
    promise = nights_needed(made(seed, count), budget, shares)
    wait_longest(seed, made(seed, count), budget, shares, None, promise)


@settings(max_examples=20)
@given(st.integers(0, 500), st.integers(2, 20), budgets.filter(lambda b: b.origins or b.cpu_s), shares)
def test_no_origin_starves_by_those_of_a_host_that_lost_the_promise(
    seed: int, count: int, budget: NightBudget, shares: Shares
) -> None:
    """A thousand older ones of another host change nothing of the promise to the others."""
    few, many = made(seed, count), made(seed + 1, 1000)
    promise = nights_needed(few, budget, shares)
    both = joined(few, replace(many, host=np.full(1000, HOSTS), waited=np.full(1000, 500), tie=many.tie + 1))
    promised = np.array([True] * HOSTS + [False])
    wait_longest(seed, both, budget, shares, promised, promise)


def nights_needed(due: Due, budget: NightBudget, shares: Shares) -> float:
    hosts = of_hosts(due, budget, CAPS, shares)
    lost = unpromised(hosts, 10**9)
    assert lost == []
    return 1 + float(hosts.nights.sum() + hosts.own_nights.max())


def wait_longest(
    seed: int, start: Due, budget: NightBudget, shares: Shares, promised: Bools | None, promise: float
) -> None:
    """Run nights; no origin of a promised host waits longer than promised."""
    rng = np.random.default_rng(seed)
    count, caps = len(start), np.append(CAPS, NO_LIMIT)
    of_promised = np.ones(count, dtype=np.bool_) if promised is None else promised[start.host]
    waited = np.where(of_promised, 1, start.waited)
    for _ in range(min(int(2 * promise), 100)):
        lane = rng.integers(0, len(Lane), count)
        signalled = rng.integers(0, 2, count) * rng.integers(0, 50, count)
        due = replace(start, lane=lane, signalled=signalled, waited=waited)
        chosen = choose(due, budget, caps, shares, USUAL, promised)
        assert chosen.any()
        waited = np.where(chosen, 1, waited + 1)
    assert waited[of_promised].max() <= promise + 1


def test_the_oldest_comes_first_and_then_what_saves_most() -> None:
    due = replace(
        made(1, 4),
        lane=np.full(4, Lane.KNOWN),
        waited=np.array([20, 5, 5, 41]),
        signalled=np.array([0, 0, 3, 0]),
        counts=made(1, 4).counts._replace(
            changes=np.array([0.0, 0.0, 20.0, 0.0]), silent=np.zeros(4), nights=np.array([400.0, 400, 40, 400])
        ),
        dates=Dates(*np.zeros((2, 4), dtype=np.int64)),
        cpu_us=np.array([2000, 2000, 2000, 20_000]),
        importance=np.ones(4),
    )
    shares = Shares(0.01, 0.01, 0.01)
    two = choose(due, NightBudget(origins=2), ANY_HOST, shares, Usual(0.02, 0.02))
    assert two.tolist() == [False, False, True, True], "the oldest, then the one of which a signal told"
    late = replace(due, waited=np.array([40, 5, 5, 41]))
    month = choose(late, NightBudget(origins=2), ANY_HOST, shares, Usual(0.02, 0.02))
    assert month.tolist() == [True, False, False, True], "the oldest, then what may have waited for a month"
    heavy = choose(due, NightBudget(origins=3, cpu_s=0.03), ANY_HOST, shares, Usual(0.02, 0.02))
    assert heavy[3], "the oldest is visited even if it costs most of the night"


def test_what_is_important_comes_before_its_equals() -> None:
    due = made(3, 40)
    due = replace(due, lane=np.full(40, Lane.KNOWN), waited=np.full(40, 9), signalled=np.zeros(40, dtype=np.int64))
    due = replace(due, dates=Dates(np.full(40, 3), np.full(40, 20)))
    due = replace(due, counts=due.counts._replace(changes=np.ones(40), silent=np.ones(40), nights=np.full(40, 50.0)))
    chosen = choose(due, NightBudget(origins=10), ANY_HOST, Shares(0.1, 0.1, 0.1), USUAL)
    assert due.importance[chosen].sum() >= 8 * 9
