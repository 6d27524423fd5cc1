"""How often signals were right lately, and of how many changes they told."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

from pipeline.context.archive import named_loads
from pipeline.model.layout import newest_possible
from pipeline.model.night_summary import NightSummary
from pipeline.model.signal import SignalCounts, SignalKind, sum_signals
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage

NIGHTS = 30
"""Nights that are counted together: a night with a budget alone has few signals."""


def recent_signals(storage: Storage, today: date) -> dict[SignalKind, SignalCounts]:
    """Counts of the newest ``NIGHTS`` complete nights, without those whose summaries cannot be read."""
    nights = [each for each in named_loads(storage) if each.is_night and each.night <= newest_possible(today)]
    found: list[dict[SignalKind, SignalCounts]] = []
    for load in reversed(nights):
        if len(found) == NIGHTS:
            break
        with suppress(FileMissing, StoredFileDamaged):
            found.append(read_document(storage, load.night_summary, NightSummary.model_validate_json).signals)
    return sum_signals(found)
