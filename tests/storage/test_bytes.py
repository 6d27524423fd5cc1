"""Work on many files in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.storage.bytes import AHEAD, in_threads


def test_results_come_in_order_and_few_wait() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_threads(lambda item: item * item, items())
    first = [next(results), next(results)]
    assert len(taken) <= AHEAD + 2
    assert [*first, *results] == [item * item for item in range(1000)]


def test_the_first_error_ends_it() -> None:
    begun: list[int] = []

    def fails(item: int) -> int:
        begun.append(item)
        if item == 10:
            raise ValueError(str(item))
        return item

    others = set(threading.enumerate())
    with pytest.raises(ValueError, match="10"):
        list(in_threads(fails, range(1000)))
    assert len(begun) <= 10 + AHEAD + 1
    assert set(threading.enumerate()) <= others
