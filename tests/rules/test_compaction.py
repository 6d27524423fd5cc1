"""Which buckets are compacted, in which order, and how far a budget reaches."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.maintain import parse_budget
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import (
    Bounds,
    BucketStats,
    Key,
    Weighed,
    by_gain,
    compaction_s,
    exceeds,
    overdue,
    ranges,
    within,
)

IDLE = BucketStats("contents", 0, 1, 1000, 100, 0, 0, 0, "")


def test_a_bucket_without_news_is_left_alone() -> None:
    assert by_gain([IDLE]) == []


def test_most_gain_for_the_effort_comes_first() -> None:
    landed = replace(IDLE, bucket=1, landed_files=3, landed_bytes=1000, oldest_night="2026-11-02")
    deleted = replace(IDLE, bucket=2, deleted_rows=50)
    a_little = replace(IDLE, bucket=3, landed_files=1, landed_bytes=10, oldest_night="2026-11-01")
    older = replace(landed, bucket=4, oldest_night="2026-11-01")
    larger = replace(older, bucket=5, size_bytes=2000, landed_bytes=2000)
    order = by_gain([IDLE, a_little, landed, deleted, older, larger])
    assert [stats.bucket for stats in order] == [2, 5, 4, 1, 3]


def test_housekeeping_waits_until_a_bucket_is_worth_it() -> None:
    assert not overdue(IDLE, most_files=16)
    assert not overdue(replace(IDLE, landed_files=16, landed_bytes=199), most_files=16)
    assert overdue(replace(IDLE, landed_files=1, landed_bytes=200), most_files=16)
    assert overdue(replace(IDLE, deleted_rows=5), most_files=16)
    assert overdue(replace(IDLE, landed_files=17, landed_bytes=17), most_files=16)


@pytest.mark.parametrize(
    ("budget", "reached"),
    [
        (Budget(), [0, 1, 2]),
        (Budget(duration_s=1), [0, 1, 2]),
        (Budget(size_bytes=1), [0]),
        (Budget(size_bytes=1001), [0, 1]),
        (Budget(size_bytes=0), []),
        (Budget(duration_s=0), []),
    ],
)
def test_how_far_a_budget_reaches(budget: Budget, reached: list[int]) -> None:
    assert [stats.bucket for stats in within(budget, (replace(IDLE, bucket=n) for n in range(3)))] == reached


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        (Budget(), False),
        (Budget(size_bytes=101), False),
        (Budget(size_bytes=100), True),
        (Budget(duration_s=6), False),
        (Budget(duration_s=5), True),
        (Budget(size_bytes=1000, duration_s=5), True),
    ],
)
def test_a_budget(budget: Budget, spent: bool) -> None:
    assert budget.spent(100, 5.0) is spent


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("10GB", Budget(size_bytes=10**10)),
        ("1.5MB", Budget(size_bytes=1_500_000)),
        ("30m", Budget(duration_s=1800)),
        ("45s", Budget(duration_s=45)),
    ],
)
def test_a_budget_as_people_write_it(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "10", "GB", "-3m", "10 GB", "3d"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a size"):
        parse_budget(text)


WEIGHTS = st.lists(st.tuples(*[st.integers(0, 12)] * 3), max_size=40)


@given(WEIGHTS, st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_pieces_hold_every_key_once_within_their_bounds(
    weights: list[tuple[int, int, int]], key_bytes: int, raw_bytes: int, seconds: int
) -> None:
    bounds = Bounds(key_bytes, raw_bytes, seconds)
    found = ranges([Weighed(Key(n), *weight) for n, weight in enumerate(weights)], bounds)
    for n, weight in enumerate(weights):
        holding = [r for r in found if (r.low is None or r.low <= Key(n)) and (r.high is None or Key(n, "x") < r.high)]
        assert len(holding) == 1
        held = holding[0].key_bytes, holding[0].raw_bytes, holding[0].seconds
        if exceeds(*held, bounds):
            assert held == weight
    assert [r.high for r in found[:-1]] == [r.low for r in found[1:]]
    assert sum(r.raw_bytes for r in found) == sum(raw for _, raw, _ in weights)
    assert sum(r.seconds for r in found) == sum(s for _, _, s in weights)


def test_a_usual_bucket_of_a_laptop_is_one_piece() -> None:
    (whole,) = ranges([Weighed(Key(n), 96_000, 10 << 20) for n in range(100)], Bounds())
    assert (whole.low, whole.high) == (None, None)
    assert ranges([], Bounds()) == []


@pytest.mark.parametrize(
    ("rows", "raw_mb", "stored_mb", "measured_s"),
    [
        pytest.param(29_400, 31.37, 3.79, 37.4, id="texts of 1 kB"),
        pytest.param(392, 5.62, 2.09, 1.7, id="luigi at HEAD"),
        pytest.param(7_273, 107.9, 2.92, 6.1, id="luigi, history"),
        pytest.param(3_464, 200.0, 2.43, 11.4, id="big"),
        pytest.param(4_040, 200.0, 0.90, 6.3, id="pages"),
    ],
)
def test_what_a_compaction_takes_is_expected_within_a_factor(
    rows: int, raw_mb: float, stored_mb: float, measured_s: float
) -> None:
    """Measured on 2026-11-28, see decision 29; stored as landed."""
    expected = compaction_s(float(rows), raw_mb * 1e6, stored_mb * 1e6)
    assert measured_s / 2 < expected < measured_s * 1.7


def test_many_small_texts_are_cut_by_time_long_before_their_bytes_are_too_many() -> None:
    networks, raw, stored = 24_000, 100_000, 17_600
    seconds = compaction_s(100.0, float(raw), float(stored))
    weighed = [Weighed(Key(n), 100 * 120, raw, seconds) for n in range(networks)]
    found = ranges(weighed, Bounds())
    assert len(found) == 8
    assert all(piece.raw_bytes < Bounds().raw_bytes / 12 and piece.seconds <= 240 for piece in found)
