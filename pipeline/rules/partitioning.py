"""How the tables are cut into tasks, from what their metadata say, and what a job over them costs. Touches nothing.

Raw bytes decide how much work a task gets. ``contents`` compresses 10 to 60 times, so the usual 128 MB of file would be
gigabytes of text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.rules.cluster import MIB, Cluster, driver_heap_bytes, running_threads, shuffle_partitions, size

TASK_RAW_BYTES = 384 * MIB
"""What a task reads, between 256 and 512 MiB: landed row groups hold 256 MiB, compacted ones 192, and are not cut."""

BULK = frozenset({"contents", "trees"})
"""Tables whose rows carry an object's whole bytes."""

LEAST_BYTES, LEAST_BULK_BYTES, MOST_BYTES = 128 * MIB, MIB, 512 * MIB
"""Bounds of a split, in bytes of file."""

OPEN_COST_DIVISOR = 128
"""A file counts as at least this part of a split: some 20 ms to open it, of the 2 s that a task takes."""

ADAPTED_BYTES = 16 * MIB
"""Iceberg makes splits smaller, though not smaller than this, where there are fewer than threads."""

TYPICAL_RATIO = {"contents": 20.0, "trees": 4.0}
"""Raw to stored bytes where a table does not say; contents measured from 17 (requests) to 84 (redis)."""

JVM_BYTES_S, PYTHON_BYTES_S = 1_200_000_000, 215_000_000
"""Raw bytes of content that a core reads in a second, for Spark's own functions and through Arrow batches to Python:
2.4 GB and 430 MB measured on two cores, 2026-11-24."""

JVM_ROWS_S, PYTHON_ROWS_S = 1_500_000, 500_000
"""Rows of a metadata table, all columns of ``blobs``, likewise; see docs/decisions/0010-partitioning.md."""

MOST_TASKS = 500_000
"""Of one stage; beyond that a driver is known to struggle."""

DRIVER_BYTES_A_FILE = 1_000
"""Heap that a planned file takes in the driver; 860 measured, with one task a file."""


@dataclass(frozen=True, slots=True)
class TableStats:
    """What a table's metadata say of one night: data files, rows, their bytes as stored and without compression."""

    name: str
    files: int
    rows: int
    stored_bytes: int
    raw_bytes: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Split:
    """How files are cut and packed into tasks, in bytes of file; a file weighs ``open_cost_bytes`` at least."""

    target_bytes: int
    open_cost_bytes: int


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a scan of a whole table comes to. ``bucket_tasks``: in a join with another table, which goes by bucket."""

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
    """What reading some tables once comes to.

    Attributes:
        cpu_s: CPU seconds if Spark's own functions do the work.
        python_cpu_s: CPU seconds if all rows go through a Python function.
        elapsed_s: the second over all threads, and no less than the largest task takes.
        notes: sentences about what will not go well.
    """

    tables: tuple[TablePlan, ...]
    shuffle_partitions: int
    cpu_s: float
    python_cpu_s: float
    elapsed_s: float
    notes: tuple[str, ...]


def raw_ratio(known: float | None, kept_bytes: int, added_bytes: int, added_raw_bytes: int) -> float:
    """Raw to stored bytes of a table after a commit.

    Args:
        known: the ratio before; None if it is not known, and then that of the added files stands for all.
        kept_bytes: of files that stay, as stored.
        added_bytes: of new files, as stored.
        added_raw_bytes: of the same without compression.
    """
    added = added_raw_bytes / added_bytes if added_bytes else 1.0
    if known is None:
        return added
    return (known * kept_bytes + added_raw_bytes) / max(kept_bytes + added_bytes, 1)


def split_of(table: str, ratio: float) -> Split:
    """How to cut a table with this ratio of raw to stored bytes."""
    least = LEAST_BULK_BYTES if table in BULK else LEAST_BYTES
    target = min(max(int(TASK_RAW_BYTES / max(ratio, 0.01)), least), MOST_BYTES)
    return Split(target, target // OPEN_COST_DIVISOR)


def partition(tables: Iterable[TableStats], cluster: Cluster) -> Partitioning:
    """Cut tables into tasks, and say what reading each of them once costs."""
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


def _plan(table: TableStats, cluster: Cluster) -> TablePlan:
    split = split_of(table.name, table.raw_bytes / table.stored_bytes if table.stored_bytes else 1.0)
    weight = max(table.stored_bytes, table.files * split.open_cost_bytes)
    slots = shuffle_partitions(cluster)
    target = split.target_bytes
    if weight < target * slots:
        target = max(weight // slots, min(ADAPTED_BYTES, target))
    return TablePlan(
        table=table.name,
        files=table.files,
        rows=table.rows,
        stored_bytes=table.stored_bytes,
        raw_bytes=table.raw_bytes,
        split_bytes=target,
        tasks=-(-weight // target),
        bucket_tasks=min(table.buckets, table.files),
    )


def _notes(plans: Iterable[TablePlan], cluster: Cluster) -> Iterable[str]:
    heap = driver_heap_bytes(cluster)
    for plan in plans:
        if plan.tasks > MOST_TASKS:
            slices = -(-plan.tasks // MOST_TASKS)
            yield (
                f"{plan.table}: {plan.tasks:,} tasks are more than one driver schedules well; read it in {slices} "
                "slices of buckets"
            )
        planned = plan.files * DRIVER_BYTES_A_FILE
        if planned > heap // 2:
            yield (
                f"{plan.table}: planning a scan of {plan.files:,} files takes about {size(planned)} of the driver's "
                f"{size(heap)}; name buckets, or compact"
            )
