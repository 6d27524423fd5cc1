"""What is kept, and for how long."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.maintain.rubbish import load_of, may_go
from pipeline.rules.retention import (
    PLAN_MARGIN_S,
    History,
    files_to_delete,
    keep_since,
    nights_to_drop,
    oldest_daily,
    snapshots_to_expire,
    tags_to_drop,
)

NIGHTS = st.sets(st.dates(date(2025, 1, 1), date(2026, 6, 30)), max_size=60)


def days(start: date, count: int) -> list[date]:
    return [start + timedelta(days=n) for n in range(count)]


def test_a_year_of_nights() -> None:
    nights = days(date(2026, 1, 1), 365)
    kept = sorted(set(nights) - set(nights_to_drop(nights, dailies=30, monthlies=12)))
    assert kept[-30:] == days(date(2026, 12, 2), 30)
    assert kept[:-30] == [date(2026, month, 1) for month in range(1, 13)]


def test_months_without_a_night_do_not_count_and_old_months_go() -> None:
    nights = [date(2025, 3, 9), date(2025, 3, 20), date(2025, 8, 5), date(2026, 1, 7), date(2026, 2, 1)]
    assert nights_to_drop(nights, dailies=1, monthlies=2) == [date(2025, 3, 9), date(2025, 3, 20)]
    assert nights_to_drop(nights, dailies=1, monthlies=3) == [date(2025, 3, 20)]
    assert nights_to_drop(nights, dailies=2, monthlies=0) == nights[:3]
    assert nights_to_drop([], dailies=1, monthlies=0) == []


@given(NIGHTS, st.integers(1, 8), st.integers(0, 5))
def test_applied_every_night_or_once_the_same_nights_remain(nights: set[date], dailies: int, monthlies: int) -> None:
    remaining: set[date] = set()
    for night in sorted(nights):
        remaining.add(night)
        remaining -= set(nights_to_drop(remaining, dailies=dailies, monthlies=monthlies))
    assert remaining == nights - set(nights_to_drop(nights, dailies=dailies, monthlies=monthlies))
    assert set(sorted(nights)[-dailies:]) <= remaining
    assert len(remaining) <= dailies + monthlies


def test_oldest_daily() -> None:
    assert oldest_daily(days(date(2026, 1, 1), 9), 3) == date(2026, 1, 7)
    assert oldest_daily([], 3) is None


def test_tags_that_a_killed_run_left_go_and_those_of_a_night_being_sealed_stay() -> None:
    one, two, three, four = days(date(2026, 1, 1), 4)
    # Night one was retired, and the run was killed before this table; night four is being sealed, origins comes last.
    assert tags_to_drop([one, two, three, four], nights=[two, three], dropped=[two]) == [one, two]
    assert tags_to_drop([one], nights=[], dropped=[]) == []


def chain(*times: float) -> list[History]:
    return [History(n, n - 1 if n else None, at) for n, at in enumerate(times)]


def test_a_snapshot_lives_until_it_has_been_replaced_for_long_enough() -> None:
    history = chain(0, 10, 20, 30)
    assert snapshots_to_expire(history, {3}, since=25) == [0, 1]
    assert snapshots_to_expire(history, {3}, since=20) == [0]
    assert snapshots_to_expire(history, {3, 1}, since=100) == [0, 2]
    # One that was unchanged for long was current until a moment ago.
    assert snapshots_to_expire(chain(0, 1_000), {1}, since=999) == []


def test_a_snapshot_beside_the_line_has_its_own_age() -> None:
    """And one that was staged, and never became current, replaced nothing."""
    history = [*chain(0, 10), History(9, 0, 5)]
    assert snapshots_to_expire(history, {1}, since=6) == [9]
    assert snapshots_to_expire(history, {1}, since=11) == [0, 9]


def test_what_the_plan_of_an_unfinished_load_saw_stays() -> None:
    assert keep_since(100_000, 1_000, []) == 99_000
    assert keep_since(100_000, 1_000, [50_000, 99_999]) == 50_000 - PLAN_MARGIN_S


def test_manifests_that_a_kept_snapshot_shares_stay() -> None:
    going, staying = files_to_delete([1, 2], {1: ["a", "b"], 2: ["b", "c"], 3: ["c", "d"]})
    assert (set(going), set(staying)) == ({"a", "b"}, {"c", "d"})


@pytest.mark.parametrize(
    ("path", "load"),
    [
        ("tables/code/refs/data/2026-11-24/bucket=3/x.parquet", "2026-11-24"),
        ("tables/code/refs/data/2026-11-24-batch-7/bucket=3/x.parquet", "2026-11-24-batch-7"),
        ("tables/code/refs/data/bucket=3/x.parquet", None),
        ("tables/code/refs/metadata/x.avro", None),
        ("tables/code/refs/data/x.parquet", None),
    ],
)
def test_the_load_of_a_file(path: str, load: str | None) -> None:
    assert load_of(path, "refs") == load
    assert may_go([path], "refs", published={"2026-11-23"}) == ([] if load else [path])
    assert may_go([path], "refs", published={load or ""}) == [path]
