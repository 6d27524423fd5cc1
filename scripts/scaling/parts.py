"""The measurements."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from benchmarks import archive
from benchmarks.archive import Bed
from benchmarks.measure import command
from scaling.bucket import Bucket
from scaling.made import MAIN, Shape
from scaling.population import Population
from scaling.server import MadeUpServer
from scaling.steps import NotAsMade, Step, build, changed_night, step
from scaling.watch import Watched, pipeline

SCAN = "SELECT count(*) AS contents, sum(length(content)) AS bytes FROM contents"
JOIN = (
    "SELECT h.language, count(*) AS blobs, sum(length(c.content)) AS bytes FROM head_blobs h "
    "JOIN contents c ON c.bucket = h.bucket AND c.network = h.network AND c.oid = h.oid GROUP BY 1"
)

DENSE = Shape(files=98, changed=2, blob_bytes=1_000)
SMALL = Shape(files=4, changed=1, blob_bytes=500)
TINY = Shape(files=1, changed=1, blob_bytes=100)
FORKS_OF_A_ROOT = 999


def dense(work: Path, server: MadeUpServer, networks: int) -> Iterator[tuple[str, list[Step]]]:
    """One bucket of many networks: a night with 1 % changed, a scan, a join, a compaction, a restore."""
    bed, population = Bed(work / "dense", buckets=1), Population(server.url, DENSE, networks, forks=1)
    steps = build(bed, server, population)
    changed = range(0, networks, 100)
    steps.append(changed_night(bed, server, 1, changed, population.origins, "a night with 1 % changed"))
    steps.append(step(bed, "scan", lambda: pipeline(bed, "sql", SCAN)))
    steps.append(step(bed, "join", lambda: pipeline(bed, "sql", JOIN)))
    steps.append(step(bed, "restore", lambda: _restore(bed, population, 0, population.begun + 1)))
    steps.append(step(bed, "compact", lambda: pipeline(bed, "compact", "--bucket", "0")))
    steps.append(step(bed, "restore, compacted", lambda: _restore(bed, population, 0, population.begun + 1)))
    yield f"{networks:,} networks in a bucket", steps


def growth(work: Path, server: MadeUpServer, sizes: Sequence[int], count: int) -> Iterator[tuple[str, list[Step]]]:
    """Archives of several sizes, in each of which as many origins change: all are due, then only those."""
    for size in sizes:
        bed, population = Bed(work / f"growth-{size}"), Population(server.url, SMALL, size)
        steps = build(bed, server, population)
        changed = range(0, size, size // count)[:count]
        steps.append(changed_night(bed, server, 1, changed, size, f"{count} of {size:,} changed, all due"))
        others = "\n".join(population.root(number) for number in range(size) if number not in changed)
        pipeline(bed, "origins", "pause", "--from", "-", stdin=others)
        steps.append(changed_night(bed, server, 2, changed, count, f"{count} of {size:,} changed, only they are due"))
        yield f"{size:,} origins", steps
        shutil.rmtree(bed.folder)


def nights(work: Path, server: MadeUpServer, after: Sequence[int], size: int) -> Iterator[tuple[str, list[Step]]]:
    """Nights without maintenance: what one costs after others. Each changes a tenth of the origins."""
    bed, population = Bed(work / "nights"), Population(server.url, SMALL, size)
    steps = build(bed, server, population)
    done = 1
    for number in sorted(after):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as warm:
            for earlier in range(done, number):
                server.advance(_tenth(size, earlier))
                warm.submit(archive.nightly, bed, earlier).result()
        name = f"a night after {number}"
        steps.append(changed_night(bed, server, number, _tenth(size, number), size, name))
        done = number + 1
    yield f"{size:,} origins, {max(after)} nights", steps


def landed(
    work: Path, servers: Sequence[MadeUpServer], after: Sequence[int], size: int, times: int
) -> Iterator[tuple[int, float]]:
    """The fetch task of a bucket after so many nights without maintenance, which are real fetch tasks, too.

    Args:
        servers: one for each bucket.
        times: the fetch tasks of all buckets are measured so often, in turns.

    Yields:
        Each number of nights, and the median of its task's CPU seconds.
    """
    buckets: dict[int, Bucket] = {}
    for number, server in zip(after, servers, strict=True):
        buckets[number] = bucket = Bucket(Bed(work / f"landed-{number}"), server, Population(server.url, SMALL, size))
        for earlier in range(number):
            bucket.make_night()
            bucket.change(_tenth(size, earlier + 1))
        bucket.plan()
    took = [[bucket.fetch_cpu_s() for bucket in buckets.values()] for _ in range(times)]
    yield from zip(buckets, map(median, zip(*took, strict=True)), strict=True)


def visits(work: Path, server: MadeUpServer, count: int) -> Iterator[tuple[str, list[Step]]]:
    """Very many visits in one night, nearly all without news, with a driver of 4 GB."""
    forks = min(FORKS_OF_A_ROOT, count - 1)
    bed = Bed(work / "visits", driver_memory="4g")
    population = Population(server.url, TINY, max(count // (forks + 1), 1), forks)
    steps = build(bed, server, population)
    steps.append(changed_night(bed, server, 1, [0], population.origins, f"{population.origins:,} visits"))
    yield f"{population.origins:,} origins", steps


def _tenth(size: int, night: int) -> range:
    """A tenth of some networks, each night another."""
    return range(night % 10, size, 10)


def _restore(bed: Bed, population: Population, number: int, version: int) -> Watched:
    """Restore a root.

    Raises:
        NotAsMade: the repository is not complete, or not at this version.
    """
    to = bed.folder / "restored.git"
    took = pipeline(bed, "restore", population.root(number), str(to))
    command(["git", "-C", to, "fsck", "--full", "--strict"])
    tip = command(["git", "-C", to, "rev-parse", MAIN.decode()]).strip()
    shutil.rmtree(to)
    if tip != population.shape.version(number, version).tip.hex():
        raise NotAsMade(f"{population.root(number)} was restored at {tip}, which is not version {version}")
    return took
