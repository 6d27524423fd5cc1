"""Part of a long matrix per day, so that all of it runs within some days; the rest is marked ``long``.

The cases are shuffled again each time all were run, so whoever runs the tests every second day or every week meets all
of them as well. ``TESTS_DAY=2026-11-24`` chooses as on that day.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

Case = TypeVar("Case", str, int)


def chosen(cases: Iterable[Case], each: int = 1) -> set[Case]:
    """The cases of the day, ``each`` of them; the last day of a round repeats some of its first."""
    cases = list(cases)
    days = -(-len(cases) // each)
    turn, at = divmod(date.fromisoformat(os.environ["TESTS_DAY"]).toordinal(), days)
    shuffled = sorted(cases, key=lambda case: sha256(f"{turn} {case}".encode()).digest())
    return {shuffled[(at * each + number) % len(cases)] for number in range(each)}


def of_the_day(cases: Iterable[Case], each: int = 1, among: Iterable[Case] | None = None) -> list[Any]:
    """All cases as parameters, those of another day marked.

    Args:
        cases: the parameters of one test.
        each: how many run a day.
        among: cases of several tests of which so many run together; by default this test has as many for itself.
    """
    cases = list(cases)
    today = chosen(cases if among is None else among, each)
    return [case if case in today else pytest.param(case, marks=pytest.mark.long) for case in cases]


def one_test(item: pytest.Item) -> str:
    """What takes a turn: a test with all its variants."""
    return item.nodeid.partition("[")[0]


def one_file(item: pytest.Item) -> str:
    """What takes a turn: all slow tests of a file, which share what they need."""
    return str(item.path)


def take_turns(
    items: Iterable[pytest.Item], place: Path, each: int | None = None, turn: Callable[[pytest.Item], str] = one_test
) -> None:
    """Of the slow tests in a file or folder, mark all but those of the day.

    A test that pytest collects alone, because it was named, has its turn each day.

    Args:
        each: how many turns a day has; None: half of all.
        turn: what belongs to the same one.
    """
    turns: dict[str, list[pytest.Item]] = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if place in (item.path, item.path.parent) and "slow" in marks and not marks & {"long", "kubernetes"}:
            turns.setdefault(turn(item), []).append(item)
    today = chosen(turns, min(each or -(-len(turns) // 2), len(turns))) if turns else set()
    for name, found in turns.items():
        if name not in today:
            for item in found:
                item.add_marker(pytest.mark.long)


def of_each_part(cases: Iterable[Case], parts: int) -> list[Any]:
    """The same, one of each of so many parts, which are equally long: of cases in an order, some early, some late."""
    cases = list(cases)
    length = -(-len(cases) // parts)
    return [case for at in range(0, len(cases), length) for case in of_the_day(cases[at : at + length])]
