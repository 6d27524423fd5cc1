"""One run of housekeeping: plans and, unless it is a dry run, applies."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.context.config import MaintainSection
from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.compact import Compacted, bucket_stats
from pipeline.maintain.house import house
from pipeline.maintain.loads import find_rubbish, load_states, plans_unpublished, remove
from pipeline.maintain.retention import apply_nights, plan_nights
from pipeline.maintain.rewrite import (
    SmallFiles,
    SmallManifests,
    apply_manifests,
    apply_small_files,
    plan_manifests,
    plan_small_files,
)
from pipeline.maintain.rubbish import Rubbish
from pipeline.maintain.run_compact import compact_chosen
from pipeline.maintain.takedown.remove import RemovedRows
from pipeline.maintain.takedown.run_takedown import finish_takedowns
from pipeline.maintain.unreferenced import apply_unreferenced, plan_unreferenced
from pipeline.night.seal import nights
from pipeline.read.inventory.record import keep_record, tidy_recordings
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import BucketStats, by_gain, overdue, within
from pipeline.rules.retention import keep_since, oldest_daily
from pipeline.storage.interface import Storage
from pipeline.tables.writer import Writer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MaintainReport:
    """What was removed or rewritten or, in a dry run, would be.

    Attributes:
        nights: nights that cease to exist; their files go once ``snapshot_age_s`` has passed.
        snapshots: number of forgotten snapshots by table.
        rubbish: deleted files and folders.
        small_files: rewritten small files. The old ones are freed when their snapshots are.
        manifests: rewritten manifests, likewise.
        to_compact: the buckets that would be compacted; all candidates if the budget is one of time.
        compacted: compacted buckets; the old files are freed likewise.
        takedowns: rows of takedowns that were still in files of the tables, and were removed; empty in a dry run.
        unfinished: loads that are planned but not published; snapshots since their plans are kept for them.
        damaged: files that cannot be read; their buckets were left unchanged.
    """

    dry_run: bool
    nights: tuple[date, ...]
    snapshots: dict[str, int]
    rubbish: tuple[Rubbish, ...]
    small_files: tuple[SmallFiles, ...]
    manifests: tuple[SmallManifests, ...]
    to_compact: tuple[BucketStats, ...]
    compacted: tuple[Compacted, ...]
    takedowns: tuple[RemovedRows, ...]
    unfinished: tuple[str, ...]
    damaged: tuple[str, ...] = ()

    @property
    def freed_bytes(self) -> int:
        """Bytes of everything that was deleted."""
        return sum(rubbish.size_bytes for rubbish in self.rubbish)


def run_maintain(place: Workplace, *, dry_run: bool = False) -> MaintainReport:
    """Keep house, holding the lease, then compact, holding it only for each commit; a dry run needs no lease.

    May be called again after a kill at any point; it then does the rest.

    Raises:
        ArchiveHeld: another run holds the archive.
        LeaseLost: the lease was lost on the way; every finished step is complete.
    """
    storage, settings = place.storage, place.config.maintain
    if dry_run:
        scratch = place.config.fetch.scratch_folder
        return maintain(place.spark(), storage, settings, scratch, now=time.time(), writer=None)
    with hold(place, "maintain") as run:
        report = maintain(run.spark(), storage, settings, run.scratch, now=time.time(), writer=run.writer())
        keep_record(storage)
        tidy_recordings(storage)
    damaged = list(report.damaged)
    budget = Budget.parse(settings.compact_budget)
    compacted = compact_chosen(place, report.to_compact, budget, on_damage=damaged.append)
    return replace(report, to_compact=(), compacted=tuple(compacted), damaged=tuple(sorted(set(damaged))))


def maintain(
    spark: SparkSession,
    storage: Storage,
    settings: MaintainSection,
    scratch: Path,
    *,
    now: float,
    writer: Writer | None,
) -> MaintainReport:
    """Run all steps, in an order in which no step changes what a dry run finds for a later one.

    Args:
        scratch: a local folder for takedowns.
        now: seconds since 1970 UTC, from which all ages count.
        writer: None to change nothing.
    """
    states = load_states(storage)
    unpublished = plans_unpublished(storage, states)
    for load in unpublished:
        logger.warning("load %s is not published; the files of its plan are kept", load.name)
    untouched_since = now - settings.sweep_after_s
    plans_before = oldest_daily(nights(spark), settings.dailies)

    left = find_rubbish(storage, states, untouched_since=untouched_since, plans_before=plans_before)
    if writer is not None:
        for rubbish in left:
            writer.check_lease()
            remove(storage, rubbish)

    removal = None if writer is None else finish_takedowns(writer, storage, scratch)

    dropped = plan_nights(
        spark,
        storage,
        dailies=settings.dailies,
        monthlies=settings.monthlies,
        since=keep_since(now, settings.snapshot_age_s, unpublished.values()),
        retired_before=now - settings.snapshot_age_s,
        now=now,
    )
    if writer is not None:
        apply_nights(writer, storage, dropped)

    published = {state.load.name for state in states if state.published}
    unreferenced = plan_unreferenced(
        spark, storage, untouched_since=untouched_since, published=published, tables=house(spark)
    )
    if writer is not None:
        apply_unreferenced(writer, storage, unreferenced)

    damaged: list[str] = []
    small = plan_small_files(spark, small_bytes=settings.small_file_bytes, most=settings.small_files)
    manifests = plan_manifests(spark, most=settings.small_manifests)
    if writer is not None:
        apply_small_files(
            writer,
            storage,
            small,
            small_bytes=settings.small_file_bytes,
            on_damage=damaged.append,
        )
        apply_manifests(writer, manifests)

    late = [stats for stats in by_gain(bucket_stats(spark)) if overdue(stats, most_files=settings.small_files)]
    budget = Budget.parse(settings.compact_budget)
    to_compact = within(budget, late)
    return MaintainReport(
        dry_run=writer is None,
        nights=dropped.nights,
        snapshots={table.table: len(table.snapshots) for table in dropped.tables if table.snapshots},
        rubbish=(*left, *(r for t in dropped.tables for r in t.rubbish), *(r for t in unreferenced for r in t.rubbish)),
        small_files=tuple(small),
        manifests=tuple(manifests),
        to_compact=tuple(to_compact),
        compacted=(),
        takedowns=() if removal is None else removal.tables,
        unfinished=tuple(load.name for load in unpublished),
        damaged=tuple(sorted(set(damaged))),
    )
