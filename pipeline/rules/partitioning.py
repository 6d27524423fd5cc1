"""How to split tables into tasks, from their metadata, and what a job over them costs. Pure functions.

Raw bytes decide how much work a task gets. ``contents`` compresses 10 to 60 times, so the usual 128 MB of file would be
gigabytes of text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.rules.cluster import GIB, MIB, Cluster, driver_heap_bytes, running_threads, shuffle_partitions, size

TASK_RAW_BYTES = 384 * MIB
"""Least raw bytes per task, from 256 to 512 MiB: landed row groups hold up to 256 MiB, compacted ones 192; none is
split."""

ROW_GROUP_BYTES = 256 * MIB
"""Raw bytes of a usual row group, the least that a worker reads which opens files itself."""

USUAL_TASKS, MOST_TASKS = 20_000, 200_000
"""Tasks of a scan of a large table: 20 per thread of 1,000, until tasks are as long as one may lose and repeat; and the
most, whatever the table's size, that a driver begins in a minute or two."""

LONG_TASK_RAW_BYTES = 12 * GIB
"""Raw bytes of a task of 20 to 60 s, at which tasks stop to grow until there are ``MOST_TASKS``."""

JOIN_TASKS = 8
"""Tasks per thread of a join of contents with another table, so that large buckets and slow tasks delay it little. More
would cost more: each reads the whole bucket of the other table."""

BULK = frozenset({"contents", "trees"})
"""Tables whose rows contain an object's bytes."""

LEAST_BYTES, LEAST_BULK_BYTES, MOST_BYTES = 128 * MIB, MIB, 512 * MIB
"""Bounds of a split, in file bytes; that of a large table may be larger."""

OPEN_COST_DIVISOR = 128
"""A file counts as at least this fraction of a small table's split: opening it takes some 20 ms of a task's 2 s."""

ADAPTED_BYTES = 16 * MIB
"""Smallest split that Iceberg makes when there are fewer splits than threads."""

TYPICAL_RATIO = {"contents": 20.0, "trees": 4.0}
"""Raw to stored bytes of tables without a recorded ratio; measured for contents: 17 (requests) to 84 (redis)."""

JVM_BYTES_S, PYTHON_BYTES_S = 1_200_000_000, 215_000_000
"""Raw bytes of content read per core and second, by Spark's own functions and through Arrow batches to Python:
2.4 GB and 430 MB measured on two cores, 2026-11-24."""

JVM_ROWS_S, PYTHON_ROWS_S = 1_500_000, 500_000
"""Rows of a metadata table (all columns of ``blobs``) per core and second; see docs/decisions/0010-partitioning.md."""

DRIVER_BYTES_A_FILE = 1_000
"""Driver heap per planned file; 860 measured, with one task per file."""


@dataclass(frozen=True, slots=True)
class TableStats:
    """A table's metadata on one night: data files, rows, their bytes as stored and without compression."""

    name: str
    files: int
    rows: int
    stored_bytes: int
    raw_bytes: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Split:
    """How files are split and packed into tasks, in file bytes; a file counts as at least ``open_cost_bytes``."""

    target_bytes: int
    open_cost_bytes: int


@dataclass(frozen=True, slots=True)
class TableScan:
    """The scan of a whole table. ``bucket_tasks``: tasks in a join with another table, by bucket or part of one."""

    table: str
    files: int
    rows: int
    stored_bytes: int
    raw_bytes: int
    split_bytes: int
    tasks: int
    bucket_tasks: int


@dataclass(frozen=True, slots=True)
class Partitioning:
    """The cost of reading some tables once.

    Attributes:
        cpu_s: CPU seconds if Spark's own functions do the work.
        python_cpu_s: CPU seconds if all rows go through a Python function.
        elapsed_s: ``python_cpu_s`` spread over all threads, but at least the time of the largest task.
        notes: warnings, as sentences.
    """

    tables: tuple[TableScan, ...]
    shuffle_partitions: int
    cpu_s: float
    python_cpu_s: float
    elapsed_s: float
    notes: tuple[str, ...]


def raw_ratio(known: float | None, kept_bytes: int, added_bytes: int, added_raw_bytes: int) -> float:
    """Raw to stored bytes of a table after a commit.

    Args:
        known: the ratio before; None if unknown, in which case the added files decide.
        kept_bytes: stored bytes of files that stay.
        added_bytes: stored bytes of new files.
        added_raw_bytes: uncompressed bytes of new files.
    """
    added = added_raw_bytes / added_bytes if added_bytes else 1.0
    if known is None:
        return added
    return (known * kept_bytes + added_raw_bytes) / max(kept_bytes + added_bytes, 1)


def task_raw_bytes(raw_bytes: int, least: int = TASK_RAW_BYTES) -> int:
    """Raw bytes of each task of a scan, which grow with the table.

    Args:
        raw_bytes: of the whole table.
        least: of each task.
    """
    return max(min(max(raw_bytes // USUAL_TASKS, least), LONG_TASK_RAW_BYTES), -(-raw_bytes // MOST_TASKS))


def direct_tasks(raw_bytes: int, threads: int) -> int:
    """Tasks of a scan by workers that open the files themselves, row group by row group."""
    return max(threads, -(-raw_bytes // task_raw_bytes(raw_bytes, ROW_GROUP_BYTES)))


def split_of(table: str, ratio: float, stored_bytes: int) -> Split:
    """How to split a table with this ratio of raw to stored bytes, and so many stored bytes."""
    known = max(ratio, 0.01)
    least = LEAST_BULK_BYTES if table in BULK else LEAST_BYTES
    small = min(max(int(TASK_RAW_BYTES / known), least), MOST_BYTES)
    grown = task_raw_bytes(int(known * stored_bytes))
    target = small if grown == TASK_RAW_BYTES else max(small, int(grown / known))
    return Split(target, small // OPEN_COST_DIVISOR)


def join_split(split_bytes: int, stored_bytes: int, threads: int) -> int:
    """File bytes of a bucket of contents above which a join with another table cuts it.

    Args:
        split_bytes: those of a scan.
        stored_bytes: of the whole table.
    """
    return max(split_bytes, -(-stored_bytes // (JOIN_TASKS * threads)))


def partition(tables: Iterable[TableStats], cluster: Cluster) -> Partitioning:
    """Split tables into tasks, and estimate the cost of reading each of them once."""
    stats = list(tables)
    plans = tuple(_plan(table, cluster) for table in stats)
    threads = running_threads(cluster)
    largest = max((plan.raw_bytes / plan.tasks for plan in plans if plan.tasks), default=0)
    cpu_s = sum(max(table.raw_bytes / JVM_BYTES_S, table.rows / JVM_ROWS_S) for table in stats)
    python_cpu_s = sum(max(table.raw_bytes / PYTHON_BYTES_S, table.rows / PYTHON_ROWS_S) for table in stats)
    return Partitioning(
        tables=plans,
        shuffle_partitions=shuffle_partitions(cluster, max((table.rows for table in stats), default=0)),
        cpu_s=round(cpu_s, 3),
        python_cpu_s=round(python_cpu_s, 3),
        elapsed_s=round(max(python_cpu_s / threads, largest / PYTHON_BYTES_S), 3),
        notes=tuple(_notes(plans, cluster)),
    )


def _plan(table: TableStats, cluster: Cluster) -> TableScan:
    ratio = table.raw_bytes / table.stored_bytes if table.stored_bytes else 1.0
    split = split_of(table.name, ratio, table.stored_bytes)
    weight = max(table.stored_bytes, table.files * split.open_cost_bytes)
    slots = shuffle_partitions(cluster)
    target = split.target_bytes
    if weight < target * slots:
        target = max(weight // slots, min(ADAPTED_BYTES, target))
    buckets = min(table.buckets, table.files)
    most = join_split(split.target_bytes, table.stored_bytes, running_threads(cluster))
    pieces = -(-table.stored_bytes // (most * buckets)) if table.name == "contents" and buckets else 1
    return TableScan(
        table=table.name,
        files=table.files,
        rows=table.rows,
        stored_bytes=table.stored_bytes,
        raw_bytes=table.raw_bytes,
        split_bytes=target,
        tasks=-(-weight // target),
        bucket_tasks=buckets * pieces,
    )


def _notes(plans: Iterable[TableScan], cluster: Cluster) -> Iterable[str]:
    heap = driver_heap_bytes(cluster)
    for plan in plans:
        planned = plan.files * DRIVER_BYTES_A_FILE
        if planned > heap // 2:
            yield (
                f"{plan.table}: planning a scan of {plan.files:,} files takes about {size(planned)} of the driver's "
                f"{size(heap)}; name buckets, or compact"
            )
