"""All stages on one population with one number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from cluster import assumed, stages
from cluster.hosts import AtHost, at_hosts
from cluster.population import Population
from cluster.rates import Rates
from cluster.schedule import Stage
from cluster.stages import Compaction, FirstCrawl, Night
from pipeline.rules.cluster import driver_heap_bytes
from pipeline.rules.partitioning import DRIVER_BYTES_A_FILE

JOIN = "join of contents with blobs"
JOIN_FILES = "join of contents with the view files"
CRAWL, FETCH, DERIVE = "first crawl", "fetch of a night", "derive of a night"
JVM_SCAN, PYTHON_SCAN = "full scan, JVM", "full scan, Python"
COMPACTION, RESTORE = "whole compaction", "restore of the largest network"


T = TypeVar("T")


class Planned(NamedTuple, Generic[T]):
    """Something after the first crawl, and after a whole compaction."""

    crawled: T
    compacted: T


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model says; ``stages`` in the order of the archive's life."""

    people: Population
    hosts: tuple[AtHost, ...]
    stages: Mapping[str, Stage]
    crawl: FirstCrawl
    night: Night
    compaction: Compaction
    split_bytes: int
    notes: Planned[tuple[str, ...]]
    planning_bytes: Planned[float]
    objects: Planned[int]
    driver_bytes: float
    restore_bytes: float


def outcome(people: Population, rates: Rates, seed: int, threads: int = assumed.THREADS) -> Outcome:
    """Run every stage. Scans and joins read what the first crawl landed."""
    crawl = stages.first_crawl(people, rates, threads, seed)
    night = stages.night(people, rates, threads, seed)
    compaction = stages.compaction(people, rates, threads, seed)
    restore, restore_bytes = stages.restore(people, rates, threads)
    files = crawl.content_files
    plan = stages.plan(people, files, threads)
    others = crawl.files - crawl.content_files
    return Outcome(
        people=people,
        hosts=tuple(at_hosts(people, seed)),
        stages={
            CRAWL: crawl.stage,
            FETCH: night.fetch,
            DERIVE: night.derive,
            JVM_SCAN: stages.jvm_scan(people, files, rates, threads, seed),
            PYTHON_SCAN: stages.python_scan(people, rates, threads, seed),
            JOIN: stages.join(people, files, rates, threads, seed, cut=True),
            JOIN_FILES: stages.join(people, files, rates, threads, seed, cut=False),
            COMPACTION: compaction.stage,
            RESTORE: restore,
        },
        crawl=crawl,
        night=night,
        compaction=compaction,
        split_bytes=plan.tables[0].split_bytes,
        notes=Planned(plan.notes, stages.plan(people, compaction.files, threads).notes),
        planning_bytes=Planned(float(files * DRIVER_BYTES_A_FILE), float(compaction.files * DRIVER_BYTES_A_FILE)),
        objects=Planned(crawl.objects, compaction.objects + stages.objects_of(others, 0)),
        driver_bytes=float(driver_heap_bytes(assumed.cluster(threads))),
        restore_bytes=restore_bytes,
    )
