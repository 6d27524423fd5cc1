"""Counts of the newest nights together."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from pipeline.model.layout import Load
from pipeline.model.night_summary import NightSummary
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.read.signals import NIGHTS, recent_signals
from pipeline.storage.local import LocalStorage

TODAY = date(2026, 11, 28)
EMPTY = NightSummary(
    night=TODAY, run_id="r", origins={}, objects=0, raw_bytes=0, wire_bytes=0, stored_bytes=0, files=0, seconds={},
    failed=(),
)  # fmt: skip


def put(storage: LocalStorage, night: date, right: int) -> None:
    """A complete night with so many right signals; of 0, one that an earlier version made."""
    found = EMPTY.model_copy(update={"night": night, "signals": {SignalKind.EVENT: SignalCounts(right=right)}})
    text = found.model_dump_json(exclude=None if right else {"signals"})
    storage.create(Load.of_night(night).night_summary, text.encode())


def right(storage: LocalStorage) -> int:
    return recent_signals(storage, TODAY)[SignalKind.EVENT].right


def test_the_newest_nights_count(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert recent_signals(storage, TODAY) == {}
    for back in range(NIGHTS + 2):
        put(storage, TODAY - timedelta(days=back), 1 if back < NIGHTS else 1000)
    assert right(storage) == NIGHTS


def test_what_is_no_night_of_now_or_cannot_be_read_does_not_count(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for back, count in ((1, 1), (2, 20), (3, 300), (4, 0)):
        put(storage, TODAY - timedelta(days=back), count)
    put(storage, TODAY + timedelta(days=2), 4000)
    storage.replace(Load.of_night(TODAY - timedelta(days=2)).night_summary, b"{")
    storage.create(Load.of_night(TODAY).plan, b"{}")
    storage.create(Load.of_batch(TODAY, 1).derived, b"{}")
    assert right(storage) == 301
