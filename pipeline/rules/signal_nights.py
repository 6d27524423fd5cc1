"""In which nights the whole of ``listings`` is read to measure signals. A pure function."""

from __future__ import annotations

from datetime import date

ROWS_A_NIGHT = 10_000_000
"""Rows of ``listings`` that may be read in every night; of more, the same on average."""


def measures_listings(rows: int, night: date) -> bool:
    """Whether a night measures of how many changes listings told: one of as many as there are ten millions of rows.

    It is never the same day of each week, as weekends bring other changes.

    Args:
        rows: those of ``listings``.
    """
    nights = max(1, -(-rows // ROWS_A_NIGHT))
    nights += nights % 7 == 0
    return night.toordinal() % nights == 0
