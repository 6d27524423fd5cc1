"""When real repositories were pushed to, and made-up archives whose origins are pushed to like them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

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


NEVER = -(10**6)
"""The night of the last push of an origin that has had none."""


@dataclass(frozen=True, slots=True)
class Pushes:
    """When the origins of a made-up archive are pushed to: a column per origin, nights count from 1.

    Attributes:
        pushed: whether it was, on the day before a night; one row per night.
        last: of those before the first night, the night of the last push, at most 0; ``NEVER`` if there was none.
        days: of those before the first night, how many days had a push.
    """

    pushed: Bools
    last: Ints
    days: Ints


@dataclass(frozen=True, slots=True)
class Histories:
    """The days with a push of each repository, part of one, or person, sorted.

    Attributes:
        days: of each history.
        before: how many days with a push each had before its ``first``.
        first: of each history, the first day on which an origin may begin.
        last: and the last one, if so many days are left before ``end``.
        end: the day after the last push of all.
    """

    days: tuple[Ints, ...]
    before: Ints
    first: Ints
    last: Ints
    end: int

    def later_half(self) -> Histories:
        """Origins may begin in the later half of the time of all histories."""
        middle = (int(self.first.min()) + self.end) // 2
        return self._from(self.days, np.full(len(self.days), middle), np.full(len(self.days), self.end))

    def own_later_halves(self) -> Histories:
        """Origins may begin in the later half of the time from the first to the last push of their own history.

        Histories of a single day have none, and are left out.
        """
        days = tuple(each for each in self.days if len(each) > 1)
        ends = np.array([(each[0], each[-1]) for each in days], dtype=np.int64).reshape(-1, 2)
        return self._from(days, (ends[:, 0] + ends[:, 1] + 1) // 2, ends[:, 1])

    def _from(self, days: tuple[Ints, ...], first: Ints, last: Ints) -> Histories:
        before = [np.searchsorted(each, day) for each, day in zip(days, first, strict=True)]
        return Histories(days, np.array(before, dtype=np.int64), first, last, self.end)

    def sample(self, rng: np.random.Generator, origins: int, nights: int) -> Pushes:
        """The pushes to an archive of so many origins, in so many nights.

        Each origin is a history from a night at random. Of histories, those with more pushes before ``first`` are drawn
        more often, by the square root: what comes later decides nothing.

        Raises:
            UsageError: the histories are shorter.
        """
        last = np.minimum(self.last, self.end - nights)
        weights = np.where(self.first <= last, np.sqrt(1.0 + self.before), 0.0)
        if not weights.any():
            longest = int((self.end - self.first).max(initial=0))
            raise UsageError(f"the later half of the pushes has {longest:,} days, {nights:,} are needed")
        pushed = np.zeros((nights, origins), dtype=np.bool_)
        newest, days = np.full(origins, NEVER, dtype=np.int64), np.zeros(origins, dtype=np.int64)
        for origin, history in enumerate(rng.choice(len(self.days), origins, p=weights / weights.sum())):
            since = self.days[history] - rng.integers(self.first[history], last[history] + 1)
            pushed[since[(since >= 0) & (since < nights)], origin] = True
            days[origin] = earlier = np.searchsorted(since, 0)
            if earlier:
                newest[origin] = since[earlier - 1] + 1
        return Pushes(pushed, newest, days)


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
    none = np.zeros(len(days), dtype=np.int64)
    return Histories(tuple(np.array(each, dtype=np.int64) for each in days), none, none + first, none + end, end)
