"""A population of networks with the skew of public code.

Every distribution says where it is from. Marks: fit, fitted to published figures; derived, arithmetic on them; guess.
The few networks that decide how long something takes are sampled one by one: those with a pack over ``LARGE_PACK`` or
more than ``MANY_ORIGINS`` origins, and a dozen that everybody knows, with their published figures and real URLs, so our
own hash places them. All others are sampled in bulk: the sums of a bucket are normal, with the mean and covariance of a
sample of single networks, since thousands of them lie in a bucket and none is large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.git.limits import Limits
from pipeline.model.origin import bucket_of, network_id
from pipeline.rules.networks import NETWORK_ORIGINS

Floats = NDArray[np.float64]

PACK_MEDIAN, PACK_SIGMA = 150e3, 2.9
"""Pack bytes of a network, lognormal. Guess between the means of Public Git Archive, za3k's dotfiles and GitHub."""

FORKED_SHARE, FORKS_EXPONENT, MOST_ORIGINS = 0.16, 1.3, 1e6
"""Networks with forks, and P(origins >= k) = (k / 2) ** -exponent of those. Fit: Perils of mining GitHub (2014),
EvanLi/Github-Ranking (August 2026)."""

SHORT_RATIO, LONG_RATIO, SHORT_PACK, RATIO_GROWTH = 3.0, 12.0, 100e3, 0.2
"""Raw bytes per byte of pack: 3 in short histories, 12 in long ones (15 repositories measured), growing with it."""

OBJECT_BYTES, OBJECT_PACK, OBJECT_GROWTH = 640.0, 10e6, 0.15
"""Pack bytes per object: 3.5 kB a commit (fit) of 5.5 objects (measured); more in large packs (chromium: 2 kB)."""

HEAD_MEDIAN, HEAD_SIGMA, HEAD_WITH_PACK, MOST_HEAD = 20.0, 2.4, 0.7, 500e3
"""Files at HEAD, lognormal, correlated with the pack. Fit to the mean alone: 377 a repository, World of Code (2026)."""

ACTIVE_SHARE, PUSHES_MU, PUSHES_SIGMA, MOST_PUSHES, PUBLIC_SHARE = 0.058, 1.25, 2.40, 3e6, 0.36
"""Origins with a push in a month, and their pushes, lognormal. Fit: Octoverse's retellings, August 2026, five quantiles
within a third. Share of them that is public: derived from 13 to 22 million pushes a night."""

PUSH_OBJECTS, PUSH_BYTES = 12.0, 30e3
"""Objects and pack bytes of a push, derived."""

BLOB_SHARE = 0.31
"""Blobs among the objects: 1.7 of the 5.5 a commit brings (measured, 15 repositories)."""

OWN_SHARE = 0.15
"""Forks with a commit of their own. Guess; others guess 13 to 20 %."""

LARGE_PACK, MANY_ORIGINS = 300e6, 1_000.0
SAMPLED = 400_000
"""Networks from which the sums of a bucket's other networks are derived."""

COLUMNS = (
    *("networks", "origins", "pack", "raw", "objects", "files", "rows", "others"),
    *("changed", "pushes", "new_raw", "moved_rows"),
)
"""Of a network; the last four are what one night brings. ``rows`` has a path per origin; ``others`` are the files of
distinct trees at HEAD besides the first."""
_AT = {name: number for number, name in enumerate(COLUMNS)}
_DIVIDED = [_AT[name] for name in ("origins", "rows", "others", "changed", "pushes", "new_raw", "moved_rows")]
"""What the parts of a network share; of all else each has its own."""


@dataclass(frozen=True, slots=True)
class Known:
    """A well-known network: origins, bytes of pack, objects, files at HEAD; raw bytes follow unless they are known."""

    root: str
    origins: int
    pack: float
    objects: float
    files: int
    raw: float | None = None


KNOWN = (
    Known("https://chromium.googlesource.com/chromium/src", 6_000, 50e9, 25e6, 450_000),
    Known("https://github.com/torvalds/linux", 64_026, 5e9, 11e6, 80_000, 130e9),
    Known("https://github.com/NixOS/nixpkgs", 18_000, 5.0e9, 6.5e6, 48_000),
    Known("https://github.com/llvm/llvm-project", 15_000, 2.0e9, 5.55e6, 160_000),
    Known("https://github.com/mozilla/gecko-dev", 1_000, 2.4e9, 4.8e6, 350_000),
    Known("https://github.com/Homebrew/homebrew-core", 13_000, 0.6e9, 1.46e6, 8_000),
    Known("https://github.com/kubernetes/kubernetes", 43_894, 1.3e9, 1.4e6, 28_000),
    Known("https://github.com/jtleek/datasharing", 241_997, 1e6, 200, 5),
    Known("https://github.com/octocat/Spoon-Knife", 158_790, 1e6, 5_000, 3),
    Known("https://github.com/rdpeng/ProgrammingAssignment2", 143_350, 1e6, 10_000, 3),
    Known("https://github.com/firstcontributions/first-contributions", 108_192, 60e6, 100_000, 150),
    Known("https://github.com/github/gitignore", 82_255, 10e6, 15_000, 270),
    Known("https://github.com/twbs/bootstrap", 78_647, 250e6, 250_000, 800),
    Known("https://github.com/tensorflow/tensorflow", 76_088, 1.2e9, 2.2e6, 35_000),
    Known("https://github.com/DefinitelyTyped/DefinitelyTyped", 30_390, 1.0e9, 1.5e6, 40_000),
)
"""Published figures where there are some (git's log, linux of 2018 doubled, EvanLi/Github-Ranking of August 2026)."""


@dataclass(frozen=True, slots=True)
class Population:
    """An archive's networks. Those that the platform divides are divided.

    Attributes:
        buckets: number of buckets.
        whole: one row per large network before it is divided, columns as ``COLUMNS``.
        of: the row of ``whole`` of which each row of ``large`` is a part; first parts come first, in that order.
        ids: network by large network, in the order of ``large``.
        large: one row per large network, columns as ``COLUMNS``.
        by_bucket: sums by bucket of all networks, large ones included; columns as ``COLUMNS``.
    """

    buckets: int
    whole: Floats
    of: NDArray[np.int64]
    ids: NDArray[np.int64]
    large: Floats
    by_bucket: Floats

    def total(self, column: str) -> float:
        """The sum over all networks."""
        return float(self.by_bucket[:, _AT[column]].sum())

    def bucket(self, column: str) -> Floats:
        """Sums by bucket."""
        return self.by_bucket[:, _AT[column]]

    def of_large(self, column: str) -> Floats:
        """Values by large network."""
        return self.large[:, _AT[column]]

    def of_whole(self, column: str) -> Floats:
        """Values by large network, before it is divided."""
        return self.whole[:, _AT[column]]

    def large_in(self) -> NDArray[np.int64]:
        """The bucket of each large network."""
        return bucket_of(self.ids, self.buckets)  # type: ignore[arg-type,return-value]  # the same rule, on an array


def populate(raw_bytes: float, buckets: int, seed: int) -> Population:
    """A population whose contents, trees and commits have about this many raw bytes.

    The number of its networks follows from the mean; those of ``KNOWN`` are part of every archive.
    """
    random = np.random.default_rng(seed)
    sample = ordinary(random, SAMPLED)
    p_pack = 1 - NormalDist().cdf(math.log(LARGE_PACK / PACK_MEDIAN) / PACK_SIGMA)
    p_many = FORKED_SHARE * (MANY_ORIGINS / 2) ** -FORKS_EXPONENT
    mean = sample.mean(axis=0)
    packs = _networks(random, _large_packs(random, 20_000), _origins(random, 20_000))
    mean_raw = (1 - p_pack) * mean[_AT["raw"]] + p_pack * packs.mean(axis=0)[_AT["raw"]]
    known = known_networks(random)
    count = int(max(raw_bytes - known[:, _AT["raw"]].sum(), 0) / mean_raw)
    n_packs, n_many = random.binomial(count, [p_pack, p_many])
    forked = 2 * (random.random(n_many) * (MANY_ORIGINS / 2) ** -FORKS_EXPONENT) ** (-1 / FORKS_EXPONENT)
    whole = np.concatenate(
        [
            known,
            _networks(random, _large_packs(random, n_packs), _origins(random, n_packs)),
            _networks(random, _small_packs(random, n_many), np.minimum(np.floor(forked), MOST_ORIGINS)),
        ]
    )
    urls = [each.root for each in KNOWN] + [f"https://example.org/{seed}/{n}" for n in range(n_packs + n_many)]
    of, part = divided(whole[:, _AT["origins"]])
    ids = np.array([network_id(urls[at], int(number)) for at, number in zip(of, part, strict=True)], np.int64)
    large = whole[of]
    mine = np.minimum(large[:, _AT["origins"]] - part * NETWORK_ORIGINS, NETWORK_ORIGINS)
    large[:, _DIVIDED] *= (mine / large[:, _AT["origins"]])[:, None]
    others = random.multinomial(count - n_packs - n_many, np.full(buckets, 1 / buckets)).astype(float)
    spread = np.linalg.cholesky(np.cov(sample[:, 1:].T) + np.diag(np.full(len(COLUMNS) - 1, 1e-9)))
    noise = random.standard_normal((buckets, len(COLUMNS) - 1)) @ spread.T
    sums = np.empty((buckets, len(COLUMNS)))
    sums[:, 0] = others
    sums[:, 1:] = np.maximum(others[:, None] * mean[1:] + np.sqrt(others)[:, None] * noise, 0)
    found = Population(buckets, whole, of, ids, large, sums)
    np.add.at(sums, found.large_in(), large)
    return found


def divided(origins: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parts of networks as the platform divides them: the network and the number of each, first ones first."""
    parts = np.maximum(-(-origins // NETWORK_ORIGINS), 1).astype(np.int64)
    of = np.repeat(np.arange(len(parts)), parts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    order = np.argsort(number > 0, kind="stable")
    return of[order], number[order]


def ordinary(random: Generator, count: int) -> Floats:
    """Networks that are not large; columns as ``COLUMNS``."""
    return _networks(random, _small_packs(random, count), np.minimum(_origins(random, count), MANY_ORIGINS))


def any_networks(random: Generator, count: int) -> Floats:
    """Networks of any size, as they come; columns as ``COLUMNS``."""
    return _networks(random, random.standard_normal(count), _origins(random, count))


def known_networks(random: Generator) -> Floats:
    """``KNOWN``; columns as ``COLUMNS``."""
    origins, pack, objects, files = (
        np.array([getattr(each, name) for each in KNOWN], float) for name in ("origins", "pack", "objects", "files")
    )
    limits = Limits()
    raw = np.array([each.raw or each.pack * LONG_RATIO for each in KNOWN])
    return _with_changes(
        random, origins, np.minimum(pack, limits.pack_bytes), np.minimum(raw, limits.inflated_bytes), objects, files
    )


def _networks(random: Generator, z: Floats, origins: Floats) -> Floats:
    """Networks by the standard normal of their pack's logarithm and their origins."""
    limits = Limits()
    pack = np.minimum(PACK_MEDIAN * np.exp(PACK_SIGMA * z), limits.pack_bytes)
    ratio = np.clip(SHORT_RATIO * (pack / SHORT_PACK) ** RATIO_GROWTH, SHORT_RATIO, LONG_RATIO)
    objects = pack / (OBJECT_BYTES * np.maximum(pack / OBJECT_PACK, 1) ** OBJECT_GROWTH) + 1
    own = math.sqrt(1 - HEAD_WITH_PACK**2) * random.standard_normal(len(z))
    files = np.minimum(HEAD_MEDIAN * np.exp(HEAD_SIGMA * (HEAD_WITH_PACK * z + own)), MOST_HEAD)
    return _with_changes(random, origins, pack, np.minimum(pack * ratio, limits.inflated_bytes), objects, files)


def _with_changes(
    random: Generator, origins: Floats, pack: Floats, raw: Floats, objects: Floats, files: Floats
) -> Floats:
    """Networks and what one night brings them."""
    monthly = np.exp(PUSHES_MU + PUSHES_SIGMA * random.standard_normal(len(origins)))
    daily = np.minimum(np.maximum(monthly, 1), MOST_PUSHES) * PUBLIC_SHARE / 30
    seen = 1 - np.exp(-daily)
    changed = random.poisson(origins * ACTIVE_SHARE * seen).astype(float)
    changed = np.minimum(changed, origins)
    pushes = changed * daily / seen
    new_raw = pushes * PUSH_BYTES * raw / np.maximum(pack, 1)
    forks = origins - 1
    trees = OWN_SHARE * forks + np.minimum((1 - OWN_SHARE) * forks, objects / PUSH_OBJECTS)
    return np.column_stack(
        [
            np.ones(len(origins)), origins, pack, raw, objects, files, origins * files, trees * files,
            changed, pushes, new_raw, changed * files,
        ]
    )  # fmt: skip


def _origins(random: Generator, count: int) -> Floats:
    forked = random.random(count) < FORKED_SHARE
    size = np.minimum(np.floor(2 * random.random(count) ** (-1 / FORKS_EXPONENT)), MOST_ORIGINS)
    return np.where(forked, size, 1.0)


def _small_packs(random: Generator, count: int) -> Floats:
    most = math.log(LARGE_PACK / PACK_MEDIAN) / PACK_SIGMA
    z = random.standard_normal(count)
    while (over := z > most).any():
        z[over] = random.standard_normal(int(over.sum()))
    return z


def _large_packs(random: Generator, count: int) -> Floats:
    least = NormalDist().cdf(math.log(LARGE_PACK / PACK_MEDIAN) / PACK_SIGMA)
    inverse = NormalDist().inv_cdf
    return np.array([inverse(least + (1 - least) * u) for u in random.uniform(1e-12, 1 - 1e-9, count)])
