import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.change_rate import (
    EVERY_NIGHT,
    HALF_LIFE_NIGHTS,
    HARDLY_EVER,
    LATE,
    LATE_NIGHTS,
    LIKE_OTHERS,
    MOST_USUAL,
    Counts,
    Dates,
    Usual,
    counts_after,
    late_index,
    rate,
    silent_index,
    silent_part,
    usual_hazard,
    waiting_index,
)


@pytest.mark.parametrize("hazard", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("gap", [1, 10, 40])
def test_the_rate_is_found_whatever_the_distance_of_visits(hazard: float, gap: int) -> None:
    """Dividing the changes that were found by nights would find a third of the rate, or less."""
    rng = np.random.default_rng(7)
    origins = 4000
    counts = Counts(np.zeros(origins), np.zeros(origins), np.zeros(origins))
    for _ in range(800 // gap):
        nights = rng.integers(1, 2 * gap + 1, origins).astype(float)
        changed = rng.random(origins) < -np.expm1(nights * math.log1p(-hazard))
        counts = counts_after(counts, nights, changed, np.False_)
    found = counts.changes.mean() / counts.nights.mean()
    if -math.expm1(gap * math.log1p(-hazard)) < 0.95:  # beyond, nearly every visit finds a change and says no more
        assert found == pytest.approx(hazard, rel=0.1)
    assert np.array_equal(counts.silent, counts.changes)


def test_changes_that_a_signal_told_are_not_silent() -> None:
    counts = counts_after(Counts(0.0, 0.0, 0.0), 1.0, np.True_, np.True_)
    assert list(map(float, counts)) == pytest.approx([1, 0, 1])
    later = counts_after(Counts(3.0, 2.0, 120.0), HALF_LIFE_NIGHTS, np.False_, np.False_)
    assert list(map(float, later)) == pytest.approx([1.5, 1, 60 + HALF_LIFE_NIGHTS])


def test_without_visits_the_rate_is_the_usual_one() -> None:
    assert float(rate(0.0, 0.0, 0.1)) == pytest.approx(-math.log(0.9))
    assert Usual.of(Counts(0, 0, 0)) == Usual()
    assert Usual.of(Counts(30.0, 10.0, 100.0)) == Usual(0.3, 0.1)
    assert Usual.of(Counts(300.0, 0.0, 100.0)).hazard == EVERY_NIGHT


def test_signals_are_as_good_as_those_of_others_until_an_origin_shows_otherwise() -> None:
    usual = Usual(0.1, 0.02)
    assert silent_part(Counts(0.0, 0.0, 500.0), usual) == pytest.approx(0.2)
    told = silent_part(Counts(LIKE_OTHERS, 0.0, 50.0), usual)
    untold = silent_part(Counts(LIKE_OTHERS, LIKE_OTHERS, 50.0), usual)
    assert (told, untold) == pytest.approx((0.1, 0.6))
    assert silent_part(Counts(1e4, 1e4, 1e4), usual) == pytest.approx(1, abs=1e-3), "a signal that lies is found out"
    assert silent_part(Counts(1e4, 0.0, 1e4), usual) == pytest.approx(0, abs=1e-3)


@given(st.floats(1e-6, 7), st.integers(1, 10_000), st.integers(1, 100))
def test_who_waits_longer_saves_more(often: float, nights: int, more: int) -> None:
    assert silent_index(often, nights) < silent_index(often, nights + more)
    assert waiting_index(often, nights) < waiting_index(often, nights + more)
    assert silent_index(often, nights) < waiting_index(often, nights)


@pytest.mark.parametrize("often", [0.01, 0.3, 2.0])
def test_at_its_index_as_a_price_no_other_distance_of_visits_is_cheaper(often: float) -> None:
    nights = np.arange(1, 400) / 4
    visits = silent_index(often, 20.0) + often * nights**2 / 2
    assert nights[np.argmin(visits / nights)] == 20
    told = waiting_index(often, 20.0) + nights + often * nights**2 / 2
    assert nights[np.argmin(told / (nights + 1 / often))] == 20


def test_who_pushed_lately_and_often_is_expected_to_push_again() -> None:
    usual = Usual(0.02, 0.01)
    days, quiet = np.array([1, 1, 16, 16, 400]), np.array([10, 400, 400, 0, 0])
    hazards = usual_hazard(Dates(days, quiet), usual)
    assert hazards.tolist() == pytest.approx(
        [0.24 / 15**1.3, 0.24 / 405**1.3, 0.96 / 405**1.3, 0.96 / 5**1.3, MOST_USUAL]
    )
    assert usual_hazard(Dates(0, 0), usual) == usual.hazard, "of those without commits nothing is known"
    assert usual_hazard(Dates(1, 10**9), usual) == HARDLY_EVER


def test_what_may_have_waited_too_long_costs_more_unless_a_signal_is_likely() -> None:
    nights = np.array([1.0, LATE_NIGHTS - 0.01, LATE_NIGHTS, 500.0])
    late = LATE * LATE_NIGHTS * 0.001
    assert late_index(0.001, nights, 1).tolist() == pytest.approx([0, 0, late, late])
    assert late_index(0.001, LATE_NIGHTS, 16) == pytest.approx(late / 2)
    assert late_index(0.001, LATE_NIGHTS, 0) == late_index(0.001, LATE_NIGHTS, 1)
