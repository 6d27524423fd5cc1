"""Of a long matrix a part each day, so that in some days all of it is run; what is not the day's is marked ``long``.

``TESTS_DAY=2026-11-24`` chooses as on that day.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any
from zlib import crc32

import pytest


def of_the_day(cases: Iterable[str], each: int = 1) -> list[Any]:
    """All cases as parameters, so many of them those of the day."""
    cases = list(cases)
    chosen = {(_day() * each + number) % len(cases) for number in range(each)}
    return [case if at in chosen else pytest.param(case, marks=pytest.mark.long) for at, case in enumerate(cases)]


def of_each_class(cases: Iterable[str]) -> list[Any]:
    """The same, one of each class: its name is before the colon, and its cases are side by side."""
    classes = groupby(cases, lambda case: case.partition(":")[0])
    return [case for _, group in classes for case in of_the_day(group)]


def is_turn(name: str, days: int) -> bool:
    """Whether this is the one of so many days that belongs to the name."""
    return (crc32(name.encode()) + _day()) % days == 0


def _day() -> int:
    return date.fromisoformat(os.environ["TESTS_DAY"]).toordinal()
