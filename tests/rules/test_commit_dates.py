from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

from pipeline.rules.commit_dates import CommitDates

VISIT = datetime(2026, 11, 2, 3, 4, 5, 678, UTC)
DAY_US = 86_400_000_000


def us(when: datetime) -> int:
    return round(when.timestamp()) * 1_000_000


def dates_of(*times: int | None, until: datetime = VISIT) -> tuple[datetime | None, int]:
    dates = CommitDates(until)
    for time in times:
        dates.add(time)
    return dates.newest, dates.days


def test_the_newest_time_in_any_order_and_days_in_utc() -> None:
    late, next_day = datetime(2026, 10, 1, 23, 59, 59, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)
    morning = datetime(2026, 10, 1, 1, tzinfo=UTC)
    assert dates_of() == (None, 0)
    assert dates_of(us(morning), us(late)) == dates_of(us(late), us(morning), us(late)) == (late, 1)
    assert dates_of(us(late), us(next_day), us(morning)) == (next_day, 2)


def test_dates_that_cannot_be_are_left_out() -> None:
    start = us(VISIT)
    assert dates_of(start) == (datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC), 1)
    assert dates_of(start + 1_000_000) == (None, 0)
    assert dates_of(start + 1_000_000, start, until=VISIT.astimezone(timezone(timedelta(hours=9))))[1] == 1
    assert dates_of(None, -1, -DAY_US, 253_402_300_799_000_000, 1 << 70, -(1 << 70)) == (None, 0)
    assert dates_of(0, 1) == (datetime(1970, 1, 1, 0, 0, 0, 1, UTC), 1)


def test_days_are_bounded_whatever_is_added() -> None:
    dates = CommitDates(VISIT)
    for day in range(-1000, 30_000):
        dates.add(day * DAY_US)
        dates.add(day * DAY_US + 5)
    assert dates.days == (VISIT.date() - date(1970, 1, 1)).days + 1
