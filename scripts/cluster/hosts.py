"""The hosts of origins: how many origins each has, how long it takes to answer, and what our manners permit.

Every figure says where it is from; marks as in ``population``. The archive has an equal share of every host, and
origins of all hosts are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator

from cluster import assumed
from cluster.population import Floats, Population
from cluster.settings import limits_of
from pipeline.rules.host_state import HostLimits
from pipeline.rules.schedule import MORE_REQUESTS, REQUESTS

OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Host:
    """A host, or many that are alike.

    Attributes:
        repositories: public ones, of all.
        median_s, sigma: seconds in which it answers a visit with nothing new, lognormal.
        instances: how many hosts these are.
    """

    name: str
    repositories: float
    median_s: float
    sigma: float
    instances: int = 1

    @property
    def mean_s(self) -> float:
        """Of its answers."""
        return self.median_s * math.exp(self.sigma**2 / 2)

    @property
    def slow_s(self) -> float:
        """Of its answers, one in a hundred takes longer."""
        return self.median_s * math.exp(self.sigma * NormalDist().inv_cdf(0.99))


OTHER_MEDIAN, OTHER_SIGMA = 30.0, 1.8
"""Repositories of a small host, lognormal. Guess."""

HOSTS = (
    Host("github.com", 440.2e6, 0.4, 0.7),
    Host("gitlab.com", 5.6e6, 0.6, 0.8),
    Host("bitbucket.org", 2.6e6, 0.6, 0.8),
    Host("codeberg.org", 0.35e6, 0.8, 1.0),
    Host(OTHERS, 1_263 * OTHER_MEDIAN * math.exp(OTHER_SIGMA**2 / 2), 1.0, 1.2, 1_263),
)
"""Repositories: GitHub's Innovation Graph, third quarter of 2025; retellings of 2025 for GitLab and Bitbucket; Codeberg
itself; Software Heritage knows so many further instances. Seconds: guess, as nobody publishes them. An update of
kubernetes without news took 0.6 to 0.8 s in the United States, and 7 s or minutes elsewhere (cncf/devstats.archive,
issue 122); of ls-remotes of one large repository, one in twenty took over 10 s (rust-lang/rust-clippy, 4713)."""

_REPOSITORIES = sum(host.repositories for host in HOSTS)
SHARES = {host.name: host.repositories / _REPOSITORIES for host in HOSTS}

MEAN_S = sum(SHARES[host.name] * host.mean_s for host in HOSTS)
"""Of the answer of an origin's host, whichever it is."""

_SQUARE_S = sum(SHARES[host.name] * host.mean_s**2 * math.exp(host.sigma**2) for host in HOSTS)
DEVIATION_S = math.sqrt(_SQUARE_S - MEAN_S**2)


def answers_s(random: Generator, count: int) -> Floats:
    """Seconds in which hosts answer visits to so many origins."""
    chosen = random.choice(len(HOSTS), count, p=list(SHARES.values()))
    medians, sigmas = (np.array([getattr(host, name) for host in HOSTS]) for name in ("median_s", "sigma"))
    return medians[chosen] * np.exp(sigmas[chosen] * random.standard_normal(count))


def sums_s(random: Generator, visits: Floats) -> Floats:
    """Seconds that so many answers take in sum; normal, as thousands are added up."""
    noise = np.sqrt(visits) * DEVIATION_S * random.standard_normal(np.shape(visits))
    return np.maximum(visits * MEAN_S + noise, 0)


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits to one host: how many, the seconds of each one's conversation, and its requests."""

    count: float
    each_s: float
    requests: int

    def least_s(self, limits: HostLimits) -> float:
        """The shortest time in which a host's limits permit them, whatever the threads."""
        return max(self.count * self.requests / limits.per_second, self.count * self.each_s / limits.conversations)


@dataclass(frozen=True, slots=True)
class AtHost:
    """What we would ask of a host; of many that are alike, of the largest.

    Attributes:
        origins: of the archive, at all hosts that are alike.
        night: a visit to each origin.
        changed: visits to those alone that changed, if signals told of each.
        crawl: a first visit to each origin.
    """

    host: Host
    limits: HostLimits
    origins: float
    night: Visits
    changed: Visits
    crawl: Visits


def at_hosts(people: Population, seed: int) -> list[AtHost]:
    """What a night and the first crawl ask of each host."""
    return [_at(host, people, seed) for host in HOSTS]


def _at(host: Host, people: Population, seed: int) -> AtHost:
    share = SHARES[host.name]
    if host.instances > 1:
        sizes = OTHER_MEDIAN * np.exp(OTHER_SIGMA * np.random.default_rng(seed).standard_normal(host.instances))
        share_of_largest = share * float(sizes.max() / sizes.sum())
    else:
        share_of_largest = share
    mine = people.total("origins") * share_of_largest
    pack_s = people.total("pack") / people.total("origins") / assumed.DOWNLOAD_BYTES_S
    new = REQUESTS + MORE_REQUESTS
    return AtHost(
        host,
        limits_of(host.name),
        people.total("origins") * share,
        night=Visits(mine, host.mean_s, REQUESTS),
        changed=Visits(people.total("changed") * share_of_largest, host.mean_s, new),
        crawl=Visits(mine, host.mean_s + pack_s, new),
    )
