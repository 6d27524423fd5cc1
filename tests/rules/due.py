"""Made-up due origins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pipeline.rules.change_rate import Counts, Dates
from pipeline.rules.night_budget import NightBudget, Shares, part_of
from pipeline.rules.promise import Hosts, archive_nights
from pipeline.rules.schedule import NO_LIMIT, Bools, Due, Ints, Lane

HOSTS = 3


def made(seed: int, count: int) -> Due:
    """Origins of all lanes, many of them equal but for their tie."""
    rng = np.random.default_rng(seed)
    nights = rng.integers(0, 200, count) * 1.0
    changes = np.minimum(rng.gamma(0.3, 10, count).round(1), nights)
    return Due(
        lane=rng.integers(0, len(Lane), count),
        waited=rng.integers(1, 6, count) ** rng.integers(1, 4, count),
        signalled=rng.integers(0, 4, count) * rng.integers(0, 2, count),
        counts=Counts(changes, changes * rng.choice([0.2, 1.0], count), nights),
        dates=Dates(rng.integers(0, 30, count), rng.integers(0, 9, count) ** rng.integers(1, 4, count)),
        cpu_us=2_000 + (rng.pareto(1.2, count) * 1_000).astype(np.int64),
        requests=rng.integers(2, 4, count),
        importance=rng.choice([0.5, 1.0, 8.0], count),
        host=rng.integers(0, HOSTS, count),
        tie=rng.permutation(count).astype(np.int64) << 40,
    )


def some(due: Due, rows: Bools | Ints) -> Due:
    """Some of the origins, or all of them in another order."""
    return _each(lambda column: column[rows], due)


def joined(one: Due, other: Due) -> Due:
    """The origins of both."""
    return _each(lambda *columns: np.concatenate(columns), one, other)


def _each(change: Callable[..., Any], *dues: Due) -> Due:
    found: dict[str, Any] = {}
    for field in fields(Due):
        values = [getattr(due, field.name) for due in dues]
        if isinstance(values[0], tuple):
            found[field.name] = type(values[0])(*(change(*columns) for columns in zip(*values, strict=True)))
        else:
            found[field.name] = change(*values)
    return Due(**found)


def of_hosts(due: Due, budget: NightBudget, caps: Ints, shares: Shares, names: Sequence[str] = "abcdef") -> Hosts:
    """What the origins of each host take."""
    counts, cpu_us, requests = (
        np.bincount(due.host, weights=of, minlength=len(caps)).astype(np.int64)
        for of in (None, due.cpu_us, due.requests)
    )
    own = np.where(caps == NO_LIMIT, 0.0, requests / part_of(caps, shares.oldest))
    return Hosts(names[: len(caps)], counts, archive_nights(counts, cpu_us, budget, shares), own)


dues = st.builds(made, st.integers(0, 10_000), st.integers(1, 60))

budgets = st.builds(
    NightBudget,
    origins=st.none() | st.integers(1, 40),
    cpu_s=st.none() | st.floats(0.001, 0.5),
)

host_requests = st.lists(st.sampled_from([0, 1, 5, 20, 60, NO_LIMIT]), min_size=HOSTS, max_size=HOSTS).map(np.array)

shares = st.sampled_from([Shares(), Shares(0.01, 0.01, 0.01), Shares(0.4, 0.4, 0.1)])
