"""Why tasks are not as long as they should be, and makespans over their bounds: sentences with this run's figures."""

from __future__ import annotations

from cluster import assumed
from cluster.outcome import (
    COMPACTION,
    CRAWL,
    DERIVE,
    FETCH,
    JOIN,
    JOIN_FILES,
    JVM_SCAN,
    PYTHON_SCAN,
    RESTORE,
    Outcome,
)
from cluster.report import MOST_OVER_BOUND, bold, duration, number, over, size, table
from cluster.schedule import LONG_S, SHORT_S, Stage
from cluster.stages import SCANS
from pipeline.read.packing import MOST_PROCESSES, task_bytes
from pipeline.rules.batches import batch_origins
from pipeline.rules.cluster import WAVES, piece_jobs
from pipeline.rules.compaction import Bounds
from pipeline.rules.networks import NETWORK_ORIGINS
from pipeline.rules.partitioning import JOIN_TASKS, LONG_TASK_RAW_BYTES, MOST_TASKS, USUAL_TASKS
from pipeline.rules.questions import MOST_PARTS, PART_ORIGINS

LUIGI_TASK_S = 0.04
"""Seconds that luigid needs for a task; decision 37."""


def size_table(found: Outcome) -> str:
    """How long tasks last, against the rule, and where and why it is given up."""
    why = _why_sizes(found)
    rows = [
        (
            name,
            bold(f"{stage.tasks:,}", by=stage.tasks > MOST_TASKS),
            duration(stage.sizes.shortest_s),
            bold(duration(stage.sizes.mean_s), by=not is_kept(stage)),
            duration(stage.longest_s),
            f"{stage.sizes.short:.0%}, {stage.sizes.long:.0%}",
            why[name],
        )
        for name, stage in found.stages.items()
    ]
    columns = (
        "stage", f"tasks, at most {MOST_TASKS:,}", "shortest", f"mean, {SHORT_S:.0f} to {LONG_S:.0f} s", "longest",
        f"below {SHORT_S:.0f} s, above {LONG_S:.0f} s", "why",
    )  # fmt: skip
    return table(columns, rows)


def is_kept(stage: Stage) -> bool:
    """Whether the usual task is as long as it should be."""
    return SHORT_S <= stage.sizes.mean_s <= LONG_S


def bound_table(found: Outcome) -> str:
    """Why stages take longer than their bounds."""
    why = _why_bounds(found)
    rows = [
        (f"{name}, {over(stage)}", why[name])
        for name, stage in found.stages.items()
        if stage.over_bound > MOST_OVER_BOUND
    ]
    return table(("stage", "reason, in numbers"), rows)


def _times(stage: Stage) -> float:
    """By how much more tasks it would take to have none that lasts longer than it should."""
    return stage.sizes.mean_s / LONG_S


def _why_sizes(found: Outcome) -> dict[str, str]:
    stages, buckets, bounds = found.stages, found.people.buckets, Bounds()
    crawl, fetch, join, join_files = (stages[name] for name in (CRAWL, FETCH, JOIN, JOIN_FILES))
    luigi_tasks = fetch.tasks * _times(fetch)
    largest = int(found.people.of_large("raw").max())
    scan = (
        f"{USUAL_TASKS:,} until they have {size(LONG_TASK_RAW_BYTES)} raw, of some 30 s; then more, to {MOST_TASKS:,}"
    )
    begun = piece_jobs(assumed.cluster(stages[COMPACTION].threads))
    return {
        CRAWL: f"a bucket of a batch is a task, and lands a file per table: tasks of a minute would land "
        f"{number(found.crawl.files * _times(crawl))} files, not {number(found.crawl.files)}",
        FETCH: f"parts have {PART_ORIGINS:,} origins or more, and are at most {MOST_PARTS:,}: tasks of a minute would "
        f"be {number(luigi_tasks)}, for which luigid alone needs {duration(luigi_tasks * LUIGI_TASK_S)}",
        DERIVE: f"{WAVES} tasks a thread compare trees, however few these are, and each touched bucket of `files` is "
        f"read by one task: the fullest has {number(found.night.stored_of_fullest)} rows",
        JVM_SCAN: scan,
        PYTHON_SCAN: scan,
        JOIN: f"{JOIN_TASKS} tasks a thread: each reads a whole bucket of the other table, now "
        f"{join.tasks / buckets:.1f} times; tasks of a minute would read it "
        f"{join.tasks / buckets * _times(join):.0f} times",
        JOIN_FILES: f"a bucket is a task: what is shuffled to it cannot be cut with it (decision 39); tasks of a "
        f"minute need {number(join_files.tasks * _times(join_files))} buckets",
        COMPACTION: f"a piece has at most {size(bounds.raw_bytes)} raw and {bounds.seconds:.0f} expected s, and is a "
        f"file or two: shorter ones are smaller files, and there are {number(found.compaction.files)}. Of so many "
        f"pieces the driver has {begun.at_once * begun.pieces:,} at once",
        RESTORE: f"processes of one machine pack at most {size(task_bytes(largest, MOST_PROCESSES))} each: no driver "
        f"has to begin them",
    }


def _why_bounds(found: Outcome) -> dict[str, str]:
    people, stages, batches = found.people, found.stages, found.crawl.batches
    crawl, join, join_files = (stages[name] for name in (CRAWL, JOIN, JOIN_FILES))
    rows = people.buckets * found.night.stored_of_fullest / found.night.stored_rows
    again = join.tasks * join.sizes.mean_s / join.work_s - 1
    raw = people.bucket("raw")
    waves = -(-join_files.tasks // join_files.threads)
    return {
        CRAWL: f"{batches:,} batches of {number(batch_origins(people.buckets))} one after the other. Each lasts as "
        f"long as its fullest bucket on one core, {duration(crawl.longest_s)} at most, and the longest at least as "
        f"long as the largest repository, {duration(crawl.indivisible_s)}; work alone is "
        f"{duration(crawl.share_s / batches)} a batch. One batch of everything would take the leading process "
        f"{size(people.total('origins') * assumed.LEADER_BYTES_A_FIRST_VISIT)}",
        FETCH: f"the fullest buckets, {duration(stages[FETCH].longest_s)}, begin when their parts have been asked",
        DERIVE: f"reading, not writing: a fork that was left at an old state is a line of its own, with "
        f"{found.night.of_a_line:.2f} of the rows of a whole tree, and a part of a network has up to "
        f"{NETWORK_ORIGINS:,} of them. The fullest bucket has {number(found.night.stored_of_fullest)} rows, "
        f"{rows:.0f} times the mean, and one task reads them {SCANS} times: {duration(stages[DERIVE].longest_s)}",
        JVM_SCAN: "the last tasks",
        PYTHON_SCAN: "the last tasks",
        JOIN: f"{JOIN_TASKS} tasks a thread read the other table's buckets again, {again:.0%}, and the last tasks, "
        f"with a spread of {assumed.SLOWDOWN_SIGMA}, do the rest",
        JOIN_FILES: f"{join_files.tasks:,} tasks on {join_files.threads:,} threads are {waves} waves, and the "
        f"fullest bucket has {raw.max() / raw.mean():.1f} times the mean. What is shuffled to the buckets of contents "
        f"cannot be cut with them ([decision 39](decisions/0039-a-join-cuts-buckets-of-contents.md))",
        COMPACTION: "the last pieces",
        RESTORE: f"one machine: one process handles commits and trees and writes the pack, at most {MOST_PROCESSES} "
        f"pack contents. The bound is the pack on one disk",
    }
