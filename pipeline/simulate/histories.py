"""When real repositories were pushed to, and made-up archives whose origins are pushed to like them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.model.errors import UsageError
from pipeline.rules.schedule import Bools, Ints

DAY_S = 86_400


class BadHistories(UsageError):
    """The file of pushes cannot be used."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"{self.source}: {self.why}"


@dataclass(frozen=True, slots=True)
class Histories:
    """The days with a push of each repository, part of one, or person, sorted; all lie between ``first`` and ``end``.

    ``before``: how many days with a push each had before ``first``.
    """

    days: tuple[Ints, ...]
    before: npt.NDArray[Any]
    first: int
    end: int

    def later_half(self) -> Histories:
        """What lies in the later half of the time."""
        middle = (self.first + self.end) // 2
        before = np.array([np.searchsorted(days, middle) for days in self.days])
        later = tuple(days[count:] for days, count in zip(self.days, before, strict=True))
        return Histories(later, before, middle, self.end)

    def sample(self, rng: np.random.Generator, origins: int, nights: int) -> Bools:
        """Whether an origin was pushed to on the day before a night: one row per night, one column per origin.

        Each origin is a history from a night at random. Of histories, those with more pushes before ``first`` are drawn
        more often, by the square root: what comes later decides nothing.

        Raises:
            UsageError: the histories are shorter.
        """
        if self.end - self.first < nights:
            raise UsageError(f"the later half of the pushes has {self.end - self.first:,} days, {nights:,} are needed")
        pushed = np.zeros((nights, origins), dtype=np.bool_)
        starts = rng.integers(self.first, self.end - nights + 1, origins)
        weights = np.sqrt(1.0 + self.before)
        for origin, history in enumerate(rng.choice(len(self.days), origins, p=weights / weights.sum())):
            since = self.days[history] - starts[origin]
            pushed[since[(since >= 0) & (since < nights)], origin] = True
        return pushed


def read_histories(source: str, lines: Iterable[str]) -> Histories:
    """Read lines of a time, in seconds since 1970, and a name: ``git log --format='%ct %ae'`` writes such.

    Raises:
        BadHistories: a line has no time, or there is no line.
    """
    found: dict[str, set[int]] = {}
    for number, line in enumerate(lines, 1):
        time, _, name = line.strip().partition(" ")
        if not time:
            continue
        if not time.isdecimal() or len(time) > 11:
            raise BadHistories(source, f"line {number} does not begin with seconds since 1970")
        found.setdefault(name, set()).add(int(time) // DAY_S)
    if not found:
        raise BadHistories(source, "it has no pushes")
    return _histories([sorted(days) for _, days in sorted(found.items())])


def _histories(days: Sequence[Sequence[int]]) -> Histories:
    first, end = min(each[0] for each in days), max(each[-1] for each in days) + 1
    return Histories(tuple(np.array(each, dtype=np.int64) for each in days), np.zeros(len(days)), first, end)
