"""Chooses the origins of a list that a backfill visits, and their batches. Touches no table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipeline.model.origin import Origin
from pipeline.model.visit import VisitStatus
from pipeline.night.plan import LastVisit
from pipeline.rules.origins import LOOKED_AT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """Origins to visit, in the given order; ``passed`` counts the others by state if people set one, else by status."""

    visit: list[Origin]
    passed: Counter[str]


def choose(origins: Sequence[Origin], known: Mapping[str, LastVisit], *, retry_failed: bool) -> Choice:
    """Choose the origins that have no visit yet.

    Args:
        origins: the list, each URL once.
        known: last visits of those in the archive, by URL.
        retry_failed: also choose those whose last visit failed.
    """
    visit = []
    passed: Counter[str] = Counter()
    for origin in origins:
        last = known.get(origin.url)
        if last is not None and last.state not in LOOKED_AT:
            passed[str(last.state)] += 1
        elif last is None or last.status is None or (retry_failed and last.status is VisitStatus.FAILED):
            visit.append(origin)
        else:
            passed[str(last.status)] += 1
    return Choice(visit, passed)


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in order, in lists of ``size``, the last one shorter. Takes no item before its batch is needed."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
