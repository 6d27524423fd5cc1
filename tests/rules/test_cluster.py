"""Spark's settings, on the two machines of the design and on odd ones."""

from __future__ import annotations

import pytest

from pipeline.rules.cluster import (
    GIB,
    Cluster,
    Executors,
    PieceJobs,
    executors,
    piece_jobs,
    running_threads,
    session_settings,
)

LAPTOP = Cluster(threads=2, memory_bytes=24 * GIB, local=True)
CLUSTER = Cluster(threads=1000, memory_bytes=6 * 10**12, disk_bytes=500 * 10**12)


def test_the_laptop() -> None:
    assert session_settings(LAPTOP) == {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": "4"}
    assert running_threads(LAPTOP) == 2


def test_the_cluster() -> None:
    assert executors(CLUSTER) == Executors(200, 5, 12 * GIB, 8 * GIB, 2 * GIB)
    assert running_threads(CLUSTER) == 1000
    assert session_settings(CLUSTER) == {
        "spark.driver.memory": "16g",
        "spark.driver.maxResultSize": "4g",
        "spark.executor.instances": "200",
        "spark.executor.cores": "5",
        "spark.cores.max": "1000",
        "spark.executor.memory": "12g",
        "spark.executor.memoryOverhead": "8g",
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "2g",
        "spark.sql.shuffle.partitions": "4000",
        "spark.sql.adaptive.advisoryPartitionSizeInBytes": "256m",
        "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    }


def test_where_memory_is_scarce_it_decides() -> None:
    assert executors(Cluster(1000, 10**12)).count == 33
    assert executors(Cluster(1000, GIB)).count == 1


@pytest.mark.parametrize(
    ("threads", "count", "cores", "heap"), [(1, 1, 1, 4 * GIB), (4, 1, 4, 10 * GIB), (12, 2, 5, 12 * GIB)]
)
def test_few_threads_make_small_executors(threads: int, count: int, cores: int, heap: int) -> None:
    shape = executors(Cluster(threads, 10**12))
    assert (shape.count, shape.cores, shape.heap_bytes) == (count, cores, heap)


@pytest.mark.parametrize(
    ("threads", "memory", "heap"),
    [
        (1, 2 * GIB, "1g"),
        (2, 8 * GIB, "2g"),
        (2, 10 * GIB, "2560m"),
        (16, 64 * GIB, "16g"),
        (8, 64 * GIB, "13g"),
        (4, 4 * GIB, "2560m"),
        (8, 8 * GIB, "4608m"),
    ],
)
def test_a_local_heap_leaves_the_machine_its_memory(threads: int, memory: int, heap: str) -> None:
    assert session_settings(Cluster(threads, memory, local=True))["spark.driver.memory"] == heap


@pytest.mark.parametrize(
    ("cluster", "jobs"),
    [
        (LAPTOP, PieceJobs(2, 1)),
        (Cluster(32, 64 * GIB, local=True), PieceJobs(17, 1)),
        (Cluster(2, 2 * GIB, local=True), PieceJobs(1, 1)),
        (CLUSTER, PieceJobs(32, 63)),
        (Cluster(2, 64 * GIB), PieceJobs(4, 1)),
    ],
)
def test_pieces_under_way_fit_a_machines_memory_and_fill_a_cluster(cluster: Cluster, jobs: PieceJobs) -> None:
    assert piece_jobs(cluster) == jobs
