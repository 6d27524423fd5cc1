from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.epochs import Share, share_of


def shares(ranks: int, workers: int) -> list[Share]:
    return [Share(rank, ranks, worker, workers) for rank in range(ranks) for worker in range(workers)]


@given(st.integers(0, 50), st.integers(1, 5), st.integers(1, 5), st.none() | st.integers(), st.integers(0, 9))
def test_each_part_is_dealt_once(parts: int, ranks: int, workers: int, seed: int | None, epoch: int) -> None:
    dealt = [share_of(range(parts), share, seed, epoch) for share in shares(ranks, workers)]
    assert sorted(part for hand in dealt for part in hand) == list(range(parts))
    sizes = [len(hand) for hand in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert dealt == [share_of(range(parts), share, seed, epoch) for share in shares(ranks, workers)]


def test_epochs_differ_and_workers_agree_on_them() -> None:
    first, second = (share_of(range(100), Share(), 7, epoch) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)
    assert share_of(range(100), Share(1, 2, 0, 1), 7, 1) == second[1::2]
    assert share_of(range(4), Share(), None, 3) == [0, 1, 2, 3]


def test_a_share_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no worker 2 of 2"):
        Share(worker=2, workers=2)
