"""The shape of a cluster, and the settings that follow from it before Spark starts. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace

SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions"

MIB = 1 << 20
GIB = 1 << 30

CORES = 5
"""Cores per executor: with more, too many share one heap and HDFS client; with fewer, every broadcast is repeated."""

HEAP_BYTES, HEAP_BYTES_A_CORE = 2 * GIB, 2 * GIB
"""Heap per executor; each core may hold a compressed row group and its decoded data: 256 MiB raw and copies."""

OVERHEAD_BYTES, OVERHEAD_BYTES_A_CORE = GIB // 2, 3 * GIB // 2
"""Memory outside the heap: each core's Python worker with its Arrow batches, and network buffers."""

OFF_HEAP_BYTES = 2 * GIB
"""Off-heap memory of an executor with ``CORES`` cores, for sorts and shuffles."""


MEMORY_SHARE = 0.8
"""Share of all memory; the rest is for the system and its page cache."""

LOCAL_MEMORY_SHARE = 0.25
"""Share of one machine's memory, where fetch tasks, Python workers and other programs run too."""

LOCAL_HEAP_BYTES, LOCAL_HEAP_BYTES_A_CORE = GIB, 3 * GIB // 2

LEAST_LOCAL_HEAP_BYTES, LEAST_LOCAL_HEAP_BYTES_A_CORE = GIB // 2, GIB // 2
"""Least heap on any machine: each thread may hold a compacted row group, one page of 192 MiB (decision 12)."""

DRIVER_BYTES_A_THREAD = 16 * MIB
"""Driver heap per thread, which always has some tasks planned, running and reported."""

WAVES, LOCAL_WAVES = 4, 2
"""Reduce tasks per thread, so that a slow one delays only part of the stage. Local tasks need fewer."""

PIECE_BYTES = 2 * GIB
"""Memory of a Python worker that compacts a piece."""

WIDE_JOBS = 16
"""Jobs into which the pieces under way on a cluster are divided, so that few threads of the driver wait for many."""

REDUCE_BYTES = 256 * MIB
"""Target size of a reduce task."""

SHUFFLED_BYTES_A_ROW = 40
"""Bytes per row of a whole-archive aggregation: a 20-byte id, a count or two, and the row's overhead."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Resources that Spark may use. ``local``: one process on this machine; ``disk_bytes``: 0 if unknown."""

    threads: int
    memory_bytes: int
    disk_bytes: int = 0
    local: bool = False


@dataclass(frozen=True, slots=True)
class Executors:
    """The executors of a cluster; each takes the sum of the three sizes."""

    count: int
    cores: int
    heap_bytes: int
    overhead_bytes: int
    off_heap_bytes: int

    @property
    def threads(self) -> int:
        """Number of tasks that run at once."""
        return self.count * self.cores

    @property
    def bytes_each(self) -> int:
        """Memory of one executor."""
        return self.heap_bytes + self.overhead_bytes + self.off_heap_bytes


def executors(cluster: Cluster) -> Executors:
    """As many executors as threads and memory allow; at least one."""
    shape = executors_of(min(CORES, cluster.threads))
    fit = int(cluster.memory_bytes * MEMORY_SHARE) // shape.bytes_each
    return replace(shape, count=max(min(cluster.threads // shape.cores, fit), 1))


def executors_of(cores: int) -> Executors:
    """One executor of so many cores."""
    heap = HEAP_BYTES + cores * HEAP_BYTES_A_CORE
    overhead = OVERHEAD_BYTES + cores * OVERHEAD_BYTES_A_CORE
    return Executors(1, cores, heap, overhead, OFF_HEAP_BYTES * cores // CORES // MIB * MIB)


def running_threads(cluster: Cluster) -> int:
    """Number of tasks that run at once."""
    return cluster.threads if cluster.local else executors(cluster).threads


def driver_heap_bytes(cluster: Cluster) -> int:
    """Heap of the driver, which is all of Spark on one machine."""
    if cluster.local:
        wanted = LOCAL_HEAP_BYTES + cluster.threads * LOCAL_HEAP_BYTES_A_CORE
        least = LEAST_LOCAL_HEAP_BYTES + cluster.threads * LEAST_LOCAL_HEAP_BYTES_A_CORE
        return max(min(wanted, int(cluster.memory_bytes * LOCAL_MEMORY_SHARE)) // MIB * MIB, least)
    return max(-(-cluster.threads * DRIVER_BYTES_A_THREAD // GIB), 2) * GIB


def shuffle_partitions(cluster: Cluster, rows: int = 0) -> int:
    """Number of reduce tasks of an aggregation; adaptive execution merges small ones.

    Args:
        rows: rows of the largest aggregated table; 0 if unknown.
    """
    waves = LOCAL_WAVES if cluster.local else WAVES
    return fitted_partitions(waves * running_threads(cluster), rows)


def fitted_partitions(partitions: int, rows: int) -> int:
    """At least this many reduce tasks, more if the aggregated rows need them."""
    return max(partitions, reduce_tasks(rows))


def reduce_tasks(rows: int) -> int:
    """Number of reduce tasks that these rows fill."""
    return -(-rows * SHUFFLED_BYTES_A_ROW // REDUCE_BYTES)


@dataclass(frozen=True, slots=True)
class PieceJobs:
    """How pieces of a compaction are given to Spark: so many jobs at once, of so many pieces each."""

    at_once: int
    pieces: int


def piece_jobs(cluster: Cluster) -> PieceJobs:
    """Jobs that keep all threads busy. One machine runs one piece per job, and no more at once than fit its memory.

    On a cluster twice as many pieces as threads are under way, so that no thread waits for the rest of a job.
    """
    threads = running_threads(cluster)
    if cluster.local:
        free = int(cluster.memory_bytes * MEMORY_SHARE) - driver_heap_bytes(cluster)
        return PieceJobs(max(min(threads, free // PIECE_BYTES), 1), 1)
    pieces = -(-threads // WIDE_JOBS)
    return PieceJobs(-(-2 * threads // pieces), pieces)


def session_settings(cluster: Cluster) -> dict[str, str]:
    """Spark settings, by full name, that must be set before a session exists."""
    driver = driver_heap_bytes(cluster)
    settings = {
        "spark.driver.memory": size(driver),
        SHUFFLE_PARTITIONS: str(shuffle_partitions(cluster)),
    }
    if cluster.local:
        return settings
    return (
        settings
        | executor_settings(executors(cluster))
        | {
            "spark.driver.maxResultSize": size(driver // 4),
            "spark.sql.adaptive.advisoryPartitionSizeInBytes": size(REDUCE_BYTES),
            "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
        }
    )


def executor_settings(shape: Executors) -> dict[str, str]:
    """Spark settings, by full name, that ask for these executors."""
    return {
        "spark.executor.instances": str(shape.count),
        "spark.executor.cores": str(shape.cores),
        "spark.cores.max": str(shape.threads),
        "spark.executor.memory": size(shape.heap_bytes),
        "spark.executor.memoryOverhead": size(shape.overhead_bytes),
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": size(shape.off_heap_bytes),
    }


def size(count: int) -> str:
    """Whole MiB as Spark writes them: ``12g`` or ``1536m``."""
    return f"{count // GIB}g" if count % GIB == 0 else f"{count // MIB}m"
