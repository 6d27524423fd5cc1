"""Part of a long matrix per day, so that all of it runs within some days; the rest is marked ``long``.

The cases are shuffled again each time all were run, so whoever runs the tests every second day or every week meets all
of them as well. ``TESTS_DAY=2026-11-24`` chooses as on that day.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from hashlib import sha256
from itertools import groupby
from typing import Any

import pytest


def chosen(cases: Iterable[str], each: int = 1) -> set[str]:
    """The cases of the day, ``each`` of them; the last day of a round repeats some of its first."""
    cases = list(cases)
    days = -(-len(cases) // each)
    turn, at = divmod(date.fromisoformat(os.environ["TESTS_DAY"]).toordinal(), days)
    shuffled = sorted(cases, key=lambda case: sha256(f"{turn} {case}".encode()).digest())
    return {shuffled[(at * each + number) % len(cases)] for number in range(each)}


def of_the_day(cases: Iterable[str], each: int = 1) -> list[Any]:
    """All cases as parameters, those of another day marked."""
    cases = list(cases)
    today = chosen(cases, each)
    return [case if case in today else pytest.param(case, marks=pytest.mark.long) for case in cases]


def of_each_class(cases: Iterable[str]) -> list[Any]:
    """The same, one of each class: its name is before the colon, and its cases are side by side."""
    classes = groupby(cases, lambda case: case.partition(":")[0])
    return [case for _, group in classes for case in of_the_day(group)]
