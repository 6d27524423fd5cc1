"""Commit activity on a small frame."""

from __future__ import annotations

from datetime import UTC, date, datetime

from pyspark.sql import SparkSession

from jobs.commit_activity import activity

COMMITS = "oid binary, author_email string, author_time timestamp, author_offset int"


def test_weeks_are_those_of_the_authors_calendar(session: SparkSession) -> None:
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    sunday_night = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    commits = session.createDataFrame(
        [
            (b"1", "a@x", monday, 0),
            (b"1", "a@x", monday, 0),
            (b"2", "A@X", sunday_night, 0),
            (b"3", "a@x", sunday_night, 60),
            (b"4", "A@X", monday, 60),
            (b"5", "b@x", monday, 60),
            (b"6", "b@x", monday, -60),
            (b"7", None, None, 0),
            (b"8", "c@x", sunday_night, 9999),
            (b"9", "c@x", first, -60),
            (b"10", "c@x", last, 60),
        ],
        COMMITS,
    )
    result = activity(commits)
    this, before = date(2026, 11, 23), date(2026, 11, 16)
    assert {tuple(row) for row in result.collect()} == {
        (this, 0, 1, 1),
        (before, 0, 1, 1),
        (this, 60, 3, 2),
        (before, -60, 1, 1),
        (None, 0, 1, 0),
        (before, None, 1, 1),
        (None, -60, 1, 1),
        (date(9999, 12, 27), 60, 1, 1),
    }
    assert [(f.name, f.dataType.simpleString()) for f in result.schema] == [
        ("week", "date"),
        ("offset", "int"),
        ("commits", "bigint"),
        ("authors", "bigint"),
    ]
