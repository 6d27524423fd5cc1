from datetime import date, timedelta
from itertools import pairwise

import pytest

from pipeline.rules.signal_nights import ROWS_A_NIGHT, measures_listings

YEAR = [date(2026, 1, 1) + timedelta(days) for days in range(365)]


@pytest.mark.parametrize(
    ("rows", "nights"),
    [(0, 1), (ROWS_A_NIGHT, 1), (ROWS_A_NIGHT + 1, 2), (5 * ROWS_A_NIGHT, 5), (7 * ROWS_A_NIGHT, 8), (10**9, 100)],
)
def test_the_rows_read_do_not_grow_with_the_listings(rows: int, nights: int) -> None:
    measured = [night for night in YEAR if measures_listings(rows, night)]
    assert {after - before for before, after in pairwise(measured)} == {timedelta(nights)}
    assert rows / nights <= ROWS_A_NIGHT


@pytest.mark.parametrize("tens", range(1, 30))
def test_every_day_of_the_week_has_its_turn(tens: int) -> None:
    nights = [date(2026, 1, 1) + timedelta(days) for days in range(7 * 30)]
    assert len({night.weekday() for night in nights if measures_listings(tens * ROWS_A_NIGHT, night)}) == 7
