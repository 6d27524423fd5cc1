"""What a day does of a matrix."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.crash.points import NIGHTLY
from tests.support.sample import chosen, of_each_part

FIRST = date(2026, 11, 24)


def days(count: int, step: int = 1) -> list[str]:
    return [str(FIRST + timedelta(days=step * number)) for number in range(count)]


def test_each_day_has_one_of_each_part_and_in_two_rounds_all_points_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met, order = set(), list(NIGHTLY)
    length = -(-len(order) // 4)
    for day in days(2 * length - 1):
        monkeypatch.setenv("TESTS_DAY", day)
        points = of_each_part(NIGHTLY, 4)
        assert [point if isinstance(point, str) else point.values[0] for point in points] == order
        today = [point for point in points if isinstance(point, str)]
        assert [order.index(point) // length for point in today] == [0, 1, 2, 3]
        met |= set(today)
    assert met == set(NIGHTLY)


@pytest.mark.parametrize("each", [1, 2, 3, 4])
def test_a_round_meets_every_case(monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    met = set()
    for day in days(2 * -(-7 // each) - 1):  # whichever day a round begins on, there is a whole one
        monkeypatch.setenv("TESTS_DAY", day)
        assert len(chosen("abcdefg", each)) == each
        met |= chosen("abcdefg", each)
    assert met == set("abcdefg")


@pytest.mark.parametrize("step", [2, 3, 6, 7])
def test_runs_that_skip_days_meet_all_cases_too(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    met = set()
    for day in days(100, step):
        monkeypatch.setenv("TESTS_DAY", day)
        met |= chosen("abcdefg")
    assert met == set("abcdefg")
