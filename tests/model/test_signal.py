"""Precision and recall, and sums."""

from __future__ import annotations

from pipeline.model.signal import SignalCounts, SignalKind, sum_signals

EVENT, HEAD, PUSHED = SignalKind.EVENT, SignalKind.HEAD, SignalKind.PUSHED


def test_precision_is_of_signals_and_recall_of_changes() -> None:
    counts = SignalCounts(right=3, wrong=1, changes=10, told=2)
    assert (counts.precision, counts.recall) == (0.75, 0.2)


def test_what_was_not_seen_has_neither() -> None:
    assert (SignalCounts().precision, SignalCounts().recall) == (None, None)
    assert (SignalCounts(wrong=1).precision, SignalCounts(changes=1).recall) == (0, 0)


def test_parts_add_up_by_kind() -> None:
    one, two = SignalCounts(right=1, wrong=2, changes=3, told=4), SignalCounts(right=10, wrong=20, changes=30, told=40)
    found = sum_signals([{EVENT: one, PUSHED: one}, {}, {EVENT: two}])
    assert found == {PUSHED: one, EVENT: SignalCounts(right=11, wrong=22, changes=33, told=44)}
    assert list(found) == [PUSHED, EVENT], "always in the same order"
    assert sum_signals([]) == {}
