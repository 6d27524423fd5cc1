"""Of a long matrix a part each day: in so many days as its largest class has cases, all of it has been run.

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
    """All cases as parameters; of each class, the words before the colon, those that are not the day's are ``long``.

    Args:
        cases: those of one class side by side.
        each: how many of a class belong to a day.
    """
    return [case for _, group in groupby(cases, _class) for case in _marked(list(group), each)]


def is_turn(name: str, days: int) -> bool:
    """Whether this is the one of so many days that belongs to the name."""
    return (crc32(name.encode()) + _day()) % days == 0


def _day() -> int:
    return date.fromisoformat(os.environ["TESTS_DAY"]).toordinal()


def _class(case: str) -> str:
    return case.partition(":")[0]


def _marked(cases: list[str], each: int) -> Iterable[Any]:
    chosen = {(_day() * each + number) % len(cases) for number in range(each)}
    for at, case in enumerate(cases):
        yield case if at in chosen else pytest.param(case, marks=pytest.mark.long)
