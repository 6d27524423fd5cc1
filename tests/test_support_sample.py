"""What a day does of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.crash.points import BACKFILL, BESIDES, COMPACT, MAINTAIN, NIGHTLY, REPAIR, UPGRADE
from tests.support.sample import chosen, of_each_part, of_the_day, one_file, take_turns

FIRST = date(2026, 11, 24)


def days(count: int, step: int = 1) -> list[str]:
    return [str(FIRST + timedelta(days=step * number)) for number in range(count)]


def of_today(parameters: list[object]) -> list[str]:
    return [parameter for parameter in parameters if isinstance(parameter, str)]


def test_each_day_has_one_of_each_part_and_in_two_rounds_all_points_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met, order = set(), list(NIGHTLY)
    length = -(-len(order) // 4)
    for day in days(2 * length - 1):
        monkeypatch.setenv("TESTS_DAY", day)
        points = of_each_part(NIGHTLY, 4)
        assert [point if isinstance(point, str) else point.values[0] for point in points] == order
        today = of_today(points)
        assert [order.index(point) // length for point in today] == [0, 1, 2, 3]
        met |= set(today)
    assert met == set(NIGHTLY)


def test_several_tests_share_the_cases_of_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    met = set()
    for day in days(2 * -(-len(BESIDES) // 2) - 1):
        monkeypatch.setenv("TESTS_DAY", day)
        today = [
            point
            for points in (BACKFILL, MAINTAIN, COMPACT, REPAIR, UPGRADE)
            for point in of_today(of_the_day(points, 2, BESIDES))
        ]
        assert len(today) == 2
        met |= set(today)
    assert met == set(BESIDES)


@dataclass
class Item:
    """What ``take_turns`` needs of a test."""

    path: Path
    name: str
    marks: list[str] = field(default_factory=list)

    @property
    def nodeid(self) -> str:
        return f"{self.path}::{self.name}"

    def iter_markers(self) -> Iterator[pytest.Mark]:
        return (getattr(pytest.mark, name).mark for name in self.marks)

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marks.append(mark.name)


def test_slow_tests_take_turns_with_all_their_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Path("here/test_a.py"), Path("there/test_b.py")
    met = set()
    for day in days(5):
        monkeypatch.setenv("TESTS_DAY", day)
        turns = [Item(here, f"test_{name}[{variant}]", ["slow"]) for name in "abc" for variant in (1, 2)]
        others = [Item(here, "test_quick"), Item(here, "test_long", ["slow", "long"]), Item(there, "test_d", ["slow"])]
        take_turns([*turns, *others], Path("here"), 1)  # type: ignore[list-item]
        today = [item.name for item in turns if "long" not in item.marks]
        assert [name[-3:] for name in today] == ["[1]", "[2]"]
        assert [item.marks for item in others] == [[], ["slow", "long"], ["slow"]]
        met |= set(today)
    assert len(met) == 6
    (alone,) = [Item(here, "test_a", ["slow"])]
    take_turns([alone], here, 1)  # type: ignore[list-item]
    assert alone.marks == ["slow"]


def test_half_of_the_files_of_a_folder_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    met = []
    for day in days(3):  # two of them are a round
        monkeypatch.setenv("TESTS_DAY", day)
        items = [Item(Path(f"here/test_{file}.py"), f"test_{name}", ["slow"]) for file in "abc" for name in "xy"]
        take_turns(items, Path("here"), turn=one_file)  # type: ignore[arg-type]
        met.append({str(item.path) for item in items if "long" not in item.marks})
        assert len(met[-1]) == 2
        assert len([item for item in items if "long" not in item.marks]) == 4
    assert set.union(*met) == {f"here/test_{file}.py" for file in "abc"}


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
