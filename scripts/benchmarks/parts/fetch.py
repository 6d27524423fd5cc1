"""Fetch tasks on the given repositories, against git clone and swh-loader-git."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import archive, peers
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, Cost, measured, repeated
from benchmarks.repositories import Repository
from benchmarks.results import Figure, Found, Table


def measure(bench: Bench) -> Found:
    """Measure all repositories, one after the other."""
    return compare(bench, bench.corpora, bench.repositories, speed="fetch")


def compare(bench: Bench, bed: Bed, repositories: Sequence[Repository], *, speed: str) -> Found:
    """Fetch each repository into its own bucket of a planned archive, clone it, and load it.

    Args:
        speed: the target of our speed: ``fetch``, in objects, or another one, in raw MB.
    """
    figures: list[Figure] = []
    rows = []
    times = bench.sizes.repeat
    python = _loader(bench)
    for repository in repositories:
        say("fetch: %s", repository.name)
        bucket = archive.bucket_for(repository.url, bed.buckets)
        (manifest,), ours = repeated(times, partial(measured, archive.fetch, bed, 0, [bucket]))
        objects = manifest.visits.objects
        cloned = repeated(times, partial(clone, bench, repository.url))[1]
        loaded = _load(bench, python, repository.url)
        done, what = (objects, "objects") if speed == "fetch" else (repository.raw_bytes / MB, "MB")
        figures += [
            Figure(speed, repository.name, done / ours.cpu_s, f"{done:,.0f} {what} in {ours.cpu_s:.2f} CPU-s"),
            Figure("fetch-clone", repository.name, ours.cpu_s / cloned.cpu_s, f"clone {cloned.cpu_s:.2f} CPU-s"),
            Figure("memory", repository.name, ours.peak_bytes / MB),
        ]
        if isinstance(loaded, peers.Loaded):
            figures.append(
                Figure("fetch-swh", repository.name, loaded.cpu_s / ours.cpu_s, f"loader {loaded.cpu_s:.2f} CPU-s")
            )
        rows.append(
            (
                repository.name,
                objects,
                repository.raw_bytes / MB,
                manifest.visits.wire_bytes / MB,
                ours.cpu_s,
                cloned.cpu_s,
                loaded.cpu_s if isinstance(loaded, peers.Loaded) else str(loaded),
                ours.peak_bytes / MB,
            )
        )
    columns = (
        "repository", "objects", "raw MB", "pack as served MB", "fetch task CPU-s", "git clone --mirror CPU-s",
        "swh-loader-git CPU-s", "peak memory of the fetch task MB",
    )  # fmt: skip
    return Found(tuple(figures), (Table("Fetch", columns, tuple(rows)),))


def clone(bench: Bench, url: str) -> tuple[None, Cost]:
    """The cost of a clone, which is then deleted."""
    to = bench.work / "clone.git"
    done = measured(peers.clone, url, to)
    shutil.rmtree(to)
    return done


def _loader(bench: Bench) -> Path | peers.LoaderMissing:
    say("fetch: %s, in its own environment", peers.LOADER)
    try:
        return peers.install_loader(bench.cache)
    except peers.LoaderMissing as error:
        say("%s", error)
        return error


def _load(bench: Bench, python: Path | peers.LoaderMissing, url: str) -> peers.Loaded | peers.LoaderMissing:
    if isinstance(python, peers.LoaderMissing):
        return python
    try:
        runs = [peers.load(python, url) for _ in range(bench.sizes.repeat)]
    except peers.LoaderMissing as error:
        return error
    return sorted(runs, key=lambda run: run.cpu_s)[len(runs) // 2]
