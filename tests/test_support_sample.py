"""What a day does of a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import pytest

from tests.crash.points import NIGHTLY
from tests.support.sample import chosen, of_each_class

FIRST = date(2026, 11, 24)


def days(count: int, step: int = 1) -> list[str]:
    return [str(FIRST + timedelta(days=step * number)) for number in range(count)]


def classes(points: Iterable[str]) -> set[str]:
    return {point.partition(":")[0] for point in points}


def test_each_day_has_one_of_each_class_and_in_fifteen_days_all_points_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met = set()
    for day in days(15):
        monkeypatch.setenv("TESTS_DAY", day)
        points = of_each_class(NIGHTLY)
        assert len(points) == len(NIGHTLY)
        today = {point for point in points if isinstance(point, str)}
        assert classes(today) == classes(NIGHTLY)
        assert len(today) == len(classes(NIGHTLY))
        met |= today
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
