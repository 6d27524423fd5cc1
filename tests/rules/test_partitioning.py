"""How tables are split on the laptop and, on paper, on the cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.cluster import GIB, MIB
from pipeline.rules.partitioning import (
    MOST_TASKS,
    Split,
    TableScan,
    TableStats,
    direct_tasks,
    join_split,
    partition,
    raw_ratio,
    split_of,
    task_raw_bytes,
)
from tests.rules.test_cluster import CLUSTER, LAPTOP

TB = 10**12

REDIS = (
    # One night of redis and its fork, as measured.
    TableStats("contents", 8, 60_000, 38_200_000, 2_448 * MIB, 8),
    TableStats("blobs", 8, 60_000, 4_000_000, 8_000_000, 8),
    TableStats("trees", 8, 25_000, 2_500_000, 60 * MIB, 8),
)
PAPER = (
    TableStats("contents", 10_000_000, 25 * 10**9, 80 * TB, 2_000 * TB, 1024),
    TableStats("blobs", 20_000, 25 * 10**9, 1_750 * 10**9, 2_500 * 10**9, 1024),
    TableStats("trees", 2_000_000, 20 * 10**9, 12 * TB, 36 * TB, 1024),
    TableStats("commits", 10_000, 5 * 10**9, 600 * 10**9, 1_500 * 10**9, 1024),
    TableStats("files", 1024, 10 * 10**9, 300 * 10**9, 1_300 * 10**9, 1024),
)


def test_the_laptop() -> None:
    found = partition(REDIS, LAPTOP)
    assert [(plan.table, plan.split_bytes, plan.tasks) for plan in found.tables] == [
        ("contents", 5_992_156, 7),
        ("blobs", 16 * MIB, 1),
        ("trees", 16_000_000, 1),
    ]
    assert found.shuffle_partitions == 4
    assert (found.cpu_s, found.python_cpu_s, found.elapsed_s) == (2.232, 12.352, 6.176)
    assert found.notes == ()


def test_the_cluster() -> None:
    found = partition(PAPER, CLUSTER)
    assert found.tables == (
        TableScan("contents", 10_000_000, 25 * 10**9, 80 * TB, 2_000 * TB, 515_396_075, 155_221, 8 * 1024),
        TableScan("blobs", 20_000, 25 * 10**9, 1_750 * 10**9, 2_500 * 10**9, 281_857_228, 6_209, 1024),
        TableScan("trees", 2_000_000, 20 * 10**9, 12 * TB, 36 * TB, 600_000_000, 20_000, 1024),
        TableScan("commits", 10_000, 5 * 10**9, 600 * 10**9, 1_500 * 10**9, 150_000_000, 4_000, 1024),
        TableScan("files", 1024, 10 * 10**9, 300 * 10**9, 1_300 * 10**9, 75_000_000, 4_000, 1024),
    )
    assert found.shuffle_partitions == 4_000
    assert found.notes == (
        "contents: planning a scan of 10,000,000 files takes about 9536m of the driver's 16g; name buckets, or compact",
    )


def test_a_join_cuts_buckets_if_threads_would_wait() -> None:
    split = split_of("contents", 25.0, 80 * TB).target_bytes
    assert join_split(split, 80 * TB, 1_000) == 10**10  # a bucket has 78 GB
    assert join_split(split, 80 * TB, 10) == 10**12
    assert join_split(6_000_000, 38_200_000, 2) == 6_000_000  # never less than a scan's task


def test_all_of_the_clusters_content_in_hours() -> None:
    found = partition(PAPER[:1], CLUSTER)
    assert round(found.cpu_s / 1000 / 3600, 1) == 0.5
    assert round(found.elapsed_s / 3600, 1) == 2.6


def test_more_rows_make_more_reduce_tasks() -> None:
    assert partition([TableStats("blobs", 1, 25 * 10**10, TB, TB, 1024)], CLUSTER).shuffle_partitions == 37_253


@pytest.mark.parametrize("table", ["contents", "trees"])
@given(ratio=st.floats(1, 200), groups=st.integers(1, 10_000))
def test_a_task_reads_256_to_512_mib_raw(table: str, ratio: float, groups: int) -> None:
    """Row groups of 256 MiB that compress alike: as many as fit a split, at least one, are 256 or 512 MiB."""
    group = int(256 * MIB / ratio)
    target = split_of(table, ratio, group * groups).target_bytes
    assert 1 <= max(target // max(group, 1), 1) <= 2
    assert target * ratio == pytest.approx(384 * MIB, rel=0.001)
    plan = partition([TableStats(table, groups, groups, group * groups, 256 * MIB * groups, 8)], CLUSTER).tables[0]
    assert plan.split_bytes <= target


@given(ratio=st.floats(0, 1000))
def test_metadata_tables_keep_128_mib_or_more(ratio: float) -> None:
    assert 128 * MIB <= split_of("blobs", ratio, 10**9).target_bytes <= 512 * MIB


def test_the_cost_of_opening_follows_the_split() -> None:
    assert split_of("contents", 48.0, 10**9) == Split(8 * MIB, 64 << 10)
    assert split_of("commits", 100.0, 10**9) == Split(128 * MIB, MIB)
    assert split_of("contents", 48.0, 10**12).open_cost_bytes == 64 << 10  # it is no larger in a large table


@pytest.mark.parametrize(
    ("raw_bytes", "each", "tasks"),
    [
        (10**9, 384 * MIB, 3),
        (7 * TB, 384 * MIB, 17_385),
        (100 * TB, 5_000_000_000, 20_000),
        (2_000 * TB, 12 * GIB, 155_221),
        (20_000 * TB, 100_000_000_000, 200_000),
    ],
)
def test_tasks_grow_with_the_table(raw_bytes: int, each: int, tasks: int) -> None:
    assert task_raw_bytes(raw_bytes) == each
    assert -(-raw_bytes // each) == tasks


@given(raw_bytes=st.integers(0, 10**18), more=st.integers(0, 10**17))
def test_a_larger_table_has_no_smaller_and_never_too_many_tasks(raw_bytes: int, more: int) -> None:
    assert task_raw_bytes(raw_bytes) <= task_raw_bytes(raw_bytes + more)
    assert -(-raw_bytes // task_raw_bytes(raw_bytes)) <= MOST_TASKS
    assert direct_tasks(raw_bytes, 4) <= MOST_TASKS


@pytest.mark.parametrize("table", ["contents", "trees", "blobs"])
@given(ratio=st.floats(1, 100), stored_bytes=st.integers(10**13, 10**16))
def test_a_large_table_is_split_by_raw_bytes(table: str, ratio: float, stored_bytes: int) -> None:
    target = split_of(table, ratio, stored_bytes).target_bytes
    assert target >= task_raw_bytes(int(ratio * stored_bytes)) / ratio - 1
    assert stored_bytes / target <= MOST_TASKS + 1


def test_workers_that_open_files_get_a_row_group_each_in_a_small_table() -> None:
    assert direct_tasks(10 * 256 * MIB, 4) == 10
    assert direct_tasks(1, 4) == 4
    assert direct_tasks(2_000 * TB, 1_000) == 155_221


def test_empty_tables_have_no_tasks() -> None:
    (plan,) = partition([TableStats("contents", 0, 0, 0, 0, 8)], LAPTOP).tables
    assert (plan.tasks, plan.bucket_tasks) == (0, 0)
    assert partition([], CLUSTER).elapsed_s == 0


def test_a_ratio_follows_what_is_added_and_replaced() -> None:
    assert raw_ratio(None, 0, 10, 200) == 20
    assert raw_ratio(20.0, 10, 10, 400) == 30
    assert raw_ratio(30.0, 0, 5, 200) == 40  # compacted as a whole
    assert raw_ratio(None, 1_000, 10, 200) == 20  # files older than the recorded ratio
    assert raw_ratio(20.0, 10, 0, 0) == 20
