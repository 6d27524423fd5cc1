"""How far the archive lags behind its origins."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa

from pipeline.model.tables import ORIGINS
from pipeline.read.freshness import AGES, Freshness, freshness_of

NIGHT = date(2026, 11, 20)
COLUMNS = ("last_status", "last_visit", "next_due")
SCHEMA = pa.schema([ORIGINS.arrow_schema.field(name) for name in COLUMNS])


def batch(*rows: tuple[str | None, int | None, int | None]) -> pa.RecordBatch:
    """Rows of a last status, the day of November of the last visit, and that on which the origin is due."""
    full = [
        {
            "last_status": status,
            "last_visit": None if visited is None else datetime(2026, 11, visited, 23, 59, tzinfo=UTC),
            "next_due": None if due is None else date(2026, 11, due),
        }
        for status, visited, due in rows
    ]
    return pa.RecordBatch.from_pylist(full, schema=SCHEMA)


def test_an_archive_without_origins() -> None:
    assert freshness_of([], NIGHT) == Freshness(dict.fromkeys(AGES, 0), 0, 0, 0, 0)
    assert freshness_of([batch()], NIGHT) == Freshness(dict.fromkeys(AGES, 0), 0, 0, 0, 0)


def test_origins_by_age_and_what_is_due() -> None:
    found = freshness_of(
        [
            batch(("full", 20, 21), ("unchanged", 21, 22), ("partial", 18, 21), ("failed", 20, 21)),
            batch((None, None, 20), (None, None, 10), ("unchanged", 12, 17), ("refused", 1, None), ("full", 1, 21)),
        ],
        NIGHT,
    )
    assert found.ages == {"up to 1 day": 2, "2 to 7 days": 1, "8 to 30 days": 2, "longer": 0}
    assert (found.failing, found.never, found.due, found.longest_nights) == (2, 2, 3, 10)
