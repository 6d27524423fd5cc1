"""What a night writes to each table."""

from __future__ import annotations

import pytest

from cluster.rows import row_bytes
from cluster.written import ANEW, BY_ROW, CONTAINER_ROWS, Change, Moved, night_bytes, vector_bytes, written
from pipeline.model.tables import HEAD_BLOBS, ORIGINS, REPOSITORIES, VISITS
from pipeline.tables.change import MOST_WRITTEN


def test_a_change_is_written_as_our_rule_says() -> None:
    few = written(Change("files", 30, new=100, gone=100, rows=100 * MOST_WRITTEN + 1, changed_bytes=1))
    assert few.how == BY_ROW
    assert 100 * 30 < few.bytes < 2 * 100 * 30
    many = written(Change("files", 30, new=100, gone=100, rows=100 * MOST_WRITTEN, changed_bytes=1))
    assert (many.how, many.bytes) == (ANEW, 100 * MOST_WRITTEN * 30)


def test_a_night_in_which_all_are_visited_writes_origins_anew_and_single_rows_of_the_others() -> None:
    moved = Moved(1_000_000, 10_000, 1e9, files=(40_000, 30_000, 50e6, 1e6), blobs=(30_000, 20_000))
    found = {each.table: each for each in night_bytes(moved)}
    assert found["origins"].how == ANEW
    assert found["origins"].bytes == pytest.approx(1_000_000 * row_bytes(ORIGINS))
    assert {found[name].how for name in ("files", "head_blobs", "repositories")} == {BY_ROW}
    assert found["repositories"].new == found["repositories"].gone == 10_000
    assert found["visits"].bytes == pytest.approx(100 * found["visits"].changed_bytes)


def test_a_vector_is_small() -> None:
    assert vector_bytes(1, 10 * CONTAINER_ROWS) == 10
    assert vector_bytes(1_000, CONTAINER_ROWS) == 2_008


def test_rows_are_as_large_as_what_is_random_in_them() -> None:
    """Two ids of 20 bytes, which nothing compresses, or one; and times, numbers and names."""
    assert 60 < row_bytes(REPOSITORIES) < 120
    assert 35 < row_bytes(HEAD_BLOBS) < 60
    assert 20 < row_bytes(VISITS) < row_bytes(ORIGINS) < 100
