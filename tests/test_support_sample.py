"""What a day does of a matrix."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.crash.points import NIGHTLY
from tests.support.sample import is_turn, of_each_class, of_the_day

DAYS = [f"2026-11-{day}" for day in range(24, 31)] + ["2026-12-01"]


def classes(points: Iterable[str]) -> set[str]:
    return {point.partition(":")[0] for point in points}


def test_each_day_has_some_of_each_class_and_in_eight_days_all_points_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met = set()
    for day in DAYS:
        monkeypatch.setenv("TESTS_DAY", day)
        points = of_each_class(NIGHTLY)
        assert len(points) == len(NIGHTLY)
        today = {point for point in points if isinstance(point, str)}
        assert classes(today) == classes(NIGHTLY)
        assert len(today) == len(classes(NIGHTLY))
        met |= today
    assert met == set(NIGHTLY)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_days_that_follow_each_other_have_other_cases(monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    chosen = []
    for day in DAYS[: 6 // each]:
        monkeypatch.setenv("TESTS_DAY", day)
        chosen += [case for case in of_the_day("abcdef", each) if isinstance(case, str)]
    assert sorted(chosen) == list("abcdef")


def test_a_name_has_one_day_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    for day in DAYS[:6]:
        monkeypatch.setenv("TESTS_DAY", day)
        turns.append(is_turn("test_commands.py", 3))
    assert turns[:3].count(True) == 1
    assert turns[:3] == turns[3:]
