"""What hosts permit, and what a night and the first crawl cost because of it."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from cluster import settings
from cluster.hosts import HOSTS, MEAN_S, OTHERS, SHARES, Visits, answers_s, at_hosts, sums_s
from cluster.population import Population
from pipeline.rules.host_state import Admitted, HostLimits, HostState, admit
from tests.cluster import SEED


def test_limits_are_those_of_the_clusters_configuration() -> None:
    hosts = tomllib.loads(settings.CONF.read_text())["hosts"]
    for name, host in (("github.com", hosts["github.com"]), ("example.org", hosts["default"])):
        found = settings.limits_of(name)
        assert (found.conversations, found.per_second) == (host["concurrency"], host["requests_per_second"])


def test_answers_are_as_slow_as_their_hosts() -> None:
    random = np.random.default_rng(SEED)
    drawn = answers_s(random, 1_000_000)
    assert drawn.mean() == pytest.approx(MEAN_S, rel=0.02)
    assert np.quantile(drawn, 0.99) == pytest.approx(HOSTS[0].slow_s, rel=0.1)
    assert sums_s(random, np.full(1_000, 10_000.0)).mean() == pytest.approx(10_000 * MEAN_S, rel=0.02)


def test_nearly_all_origins_are_at_one_host(people: Population) -> None:
    assert SHARES["github.com"] == pytest.approx(0.98, abs=0.005)
    found = at_hosts(people, SEED)
    assert sum(each.origins for each in found) == pytest.approx(people.total("origins"))
    others = found[-1]
    assert others.host.name == OTHERS
    assert others.origins / others.host.instances < others.night.count < others.origins


def test_the_shortest_time_is_that_of_our_own_turns() -> None:
    """``admit`` gives the last of so many requests its turn then."""
    limits = HostLimits(20, None, 64, 3600)
    state, answer = HostState(), None
    for _ in range(200):
        state, answer = admit(state, limits, 1, 0.0)
    assert isinstance(answer, Admitted)
    assert Visits(100, 0.5, 2).least_s(limits) == pytest.approx(answer.at, abs=1 / limits.per_second)
    assert Visits(100, 0.5, 2).least_s(limits._replace(conversations=2)) == 25


def test_the_largest_host_rules_a_night_and_not_the_threads(people: Population) -> None:
    largest = at_hosts(people, SEED)[0]
    night_s = largest.night.least_s(largest.limits)
    assert night_s == pytest.approx(largest.origins * 2 / largest.limits.per_second)
    assert night_s > 10 * 3600, "even of a hundredth of the archive"
    assert largest.changed.least_s(largest.limits) < night_s / 30
    assert largest.crawl.least_s(largest.limits) == pytest.approx(1.5 * night_s)
    more = replace(largest, limits=largest.limits._replace(per_second=1e9))
    assert more.night.least_s(more.limits) == pytest.approx(largest.origins * largest.night.each_s / 64)
