"""A HEAD that differs from that of the listing before is a signal, unless a visit came after what moved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.listing import LISTINGS, Listing
from pipeline.tables.iceberg import full_name
from tests.night.test_signals import ALL, at, fill_origins, merged_listings, signals, url_of

Shown = tuple[str | None, datetime | None]

SHOWN: dict[str, tuple[Shown, Shown, dict[str, Any], bool]] = {
    # HEAD and time in the listing before, in this one; the origin; whether it is a signal
    "pushed": (("aa", at(-9)), ("bb", at(3)), {}, True),
    "pushed-before-the-visit": (("aa", at(-9)), ("bb", at(-3)), {}, False),
    "another-branch": (("aa", at(-9)), ("bb", at(-9)), {}, True),
    "pushed-to-another-branch": (("aa", at(-9)), ("aa", at(3)), {}, True),
    "without-times": (("aa", None), ("bb", None), {}, True),
    "quiet": (("aa", at(-9)), ("aa", at(-9)), {}, False),
    "now-with-one": ((None, at(-9)), ("bb", at(-9)), {}, False),
    "now-with-details": ((None, None), ("bb", at(3)), {}, True),
    "now-with-details-and-quiet": ((None, None), ("bb", at(-9)), {}, False),
    "now-without": (("aa", at(-9)), (None, None), {}, False),
    "paused": (("aa", at(-9)), ("bb", at(3)), {"state": "paused"}, False),
    "unvisited": (("aa", at(-9)), ("bb", at(3)), {"last_visit": None}, False),
}


def listings(shown: Mapping[str, Shown]) -> list[Listing]:
    return [
        Listing(name, url_of(name), head=None if head is None else bytes.fromhex(head * 20), changed_at=time)
        for name, (head, time) in shown.items()
    ]


DETAILED = Listing(
    "a", url_of("quiet"), fork=True, parent_id="9", parent_url=url_of("parent"), archived=True, private=False,
    empty=False, mirror=True, size_bytes=7, default_branch="trunk", license="MIT", stars=5, changed_at=at(-9),
    head=bytes.fromhex("aa" * 20),
)  # fmt: skip
PLAIN = Listing("a", url_of("quiet"), fork=True, private=False)


def row_of(spark: SparkSession, forge_id: str) -> dict[str, Any]:
    rows = spark.table(full_name(LISTINGS.name)).where(f"forge_id = '{forge_id}'").collect()
    (row,) = rows
    return row.asDict()


@pytest.mark.slow
def test_what_is_listed_once_without_details_keeps_those_that_are_known(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {"quiet": {}})
    merged_listings(spark, tmp_path, 1, [DETAILED, PLAIN._replace(forge_id="b", url=url_of("b"))], has_details=True)
    before = row_of(spark, "a")
    wanted = replace(ALL, archived=False)
    signals_of = {}

    def merged(number: int, listing: Listing, **options: Any) -> dict[str, Any]:
        done = merged_listings(spark, tmp_path, number, [listing], **options)
        signals_of[number] = done.signalled
        return row_of(spark, listing.forge_id)

    kept = merged(2, PLAIN, has_details=True, wanted=wanted)
    changing = ("last_seen", "last_pass", "refused")
    assert {name: kept[name] for name in before if name not in changing} == {
        name: before[name] for name in before if name not in changing
    }
    assert kept["refused"] == "archived", "filters hold for what is known"
    moved = merged(3, DETAILED._replace(head=bytes.fromhex("bb" * 20)), has_details=True)
    assert moved["head"] == bytes.fromhex("bb" * 20)
    assert signals_of == {2: 0, 3: 1}, "another HEAD than the one that is known"
    own = merged(4, PLAIN._replace(fork=False), has_details=True)
    assert (own["parent_id"], own["parent_url"], own["head"]) == (None, None, moved["head"])
    bare = merged(5, DETAILED._replace(head=None, changed_at=None), has_details=True)
    assert (bare["head"], bare["changed_at"]) == (None, None), "details that say that there is none count"
    assert merged(6, PLAIN)["stars"] is None, "other forges have no details"
    assert merged(7, PLAIN._replace(forge_id="new", url=url_of("new")), has_details=True)["empty"] is None


BEFORE = listings({name: before for name, (before, *_) in SHOWN.items()})
NOW = listings({name: now for name, (_, now, *_) in SHOWN.items()})


@pytest.mark.slow
def test_a_head_that_moved_is_a_signal(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {name: origin for name, (_, _, origin, _) in SHOWN.items()})
    merged_listings(spark, tmp_path, 1, BEFORE)
    spark.sql(f"ALTER TABLE {full_name(LISTINGS.name)} DROP COLUMN head")
    spark.sql(f"DELETE FROM {full_name(LISTINGS.name)} WHERE forge_id = 'unvisited'")  # a snapshot without the column
    assert merged_listings(spark, tmp_path, 2, BEFORE).signalled == 0, "listings of an earlier version have none"
    done = merged_listings(spark, tmp_path, 3, NOW)
    expected = sorted(url_of(name) for name, (*_, is_signal) in SHOWN.items() if is_signal)
    assert sorted(signals(spark)) == expected
    assert done.signalled == len(expected)
    assert merged_listings(spark, tmp_path, 4, NOW).signalled == 0
    kept = {row["forge_id"]: row["head"] for row in spark.table(full_name(LISTINGS.name)).collect()}
    assert kept == {each.forge_id: each.head for each in NOW}
