"""A fingerprint of refs that differs from that of the listing before is a signal; one that does not is none."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.listing import LISTINGS, Listing
from pipeline.tables.iceberg import full_name
from tests.night.test_signals import at, fill_origins, kinds, merged_listings, signals, url_of

SHOWN: dict[
    str, tuple[tuple[str | None, datetime | None], tuple[str | None, datetime | None], dict[str, Any], bool]
] = {
    # fingerprint and time in the listing before, in this one; the origin; whether it is a signal
    "pushed": (("a", at(-9)), ("b", at(-3)), {}, True),
    "pushed-an-old-commit": (("a", at(-9)), ("b", at(-9)), {}, True),
    "pushed-without-a-time": (("a", None), ("b", None), {}, True),
    "time-moved-alone": (("a", at(-9)), ("a", at(3)), {}, False),
    "quiet": (("a", at(-9)), ("a", at(-9)), {}, False),
    "now-with-one": ((None, at(-9)), ("b", at(-9)), {}, False),
    "now-with-one-and-pushed": ((None, at(-9)), ("b", at(-3)), {}, True),
    "now-without": (("a", at(-9)), (None, at(-3)), {}, True),
    "now-without-and-quiet": (("a", at(-9)), (None, at(-9)), {}, False),
    "paused": (("a", at(-9)), ("b", at(3)), {"state": "paused"}, False),
    "unvisited": (("a", at(-9)), ("b", at(3)), {"last_visit": None}, False),
}


@pytest.mark.slow
def test_what_shows_another_fingerprint_is_a_signal(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {name: origin for name, (_, _, origin, _) in SHOWN.items()})
    before = [
        Listing(name, url_of(name), fingerprint=mark, changed_at=time) for name, ((mark, time), *_) in SHOWN.items()
    ]
    now = [
        Listing(name, url_of(name), fingerprint=mark, changed_at=time) for name, (_, (mark, time), *_) in SHOWN.items()
    ]
    assert merged_listings(spark, tmp_path, 1, before, by_commits=True).signalled == 0, "the first listing of all"
    done = merged_listings(spark, tmp_path, 2, now, by_commits=True)
    assert sorted(signals(spark)) == sorted(url_of(name) for name, (*_, is_signal) in SHOWN.items() if is_signal)
    assert done.signalled == sum(is_signal for *_, is_signal in SHOWN.values())
    by_time = {"now-with-one-and-pushed": "committed", "now-without": "committed"}
    assert kinds(spark) == {
        url: [by_time.get(name, "fingerprint")] for name in SHOWN if (url := url_of(name)) in signals(spark)
    }
    assert merged_listings(spark, tmp_path, 3, now, by_commits=True).signalled == 0


@pytest.mark.slow
def test_listings_of_an_earlier_version_gain_the_column(spark: SparkSession, tmp_path: Path) -> None:
    names = ("pushed", "quiet")
    fill_origins(spark, {name: {} for name in names})
    shown = {mark: [Listing(name, url_of(name), fingerprint=mark) for name in names] for mark in "ab"}
    merged_listings(spark, tmp_path, 1, shown["a"])
    spark.sql(f"ALTER TABLE {full_name(LISTINGS.name)} DROP COLUMN fingerprint")
    spark.sql(f"DELETE FROM {full_name(LISTINGS.name)} WHERE forge_id = 'quiet'")  # a snapshot without the column
    assert "fingerprint" not in spark.table(full_name(LISTINGS.name)).columns
    assert merged_listings(spark, tmp_path, 2, shown["a"]).signalled == 0
    now = [*shown["b"][:1], *shown["a"][1:]]
    done = merged_listings(spark, tmp_path, 3, now)
    assert (done.signalled, kinds(spark)) == (1, {url_of("pushed"): ["fingerprint"]})


Shown = tuple[bytes | None, datetime | None]
HEADS: dict[str, tuple[Shown, Shown, list[str]]] = {
    # HEAD and time in the listing before, in this one; the kinds of signals
    "pushed": ((b"a", at(-9)), (b"b", at(3)), ["head", "updated"]),
    "pushed-before": ((b"a", at(-9)), (b"b", at(-3)), []),
    "pushed-to-another-branch": ((b"a", at(-9)), (b"a", at(3)), ["updated"]),
    "another-branch": ((b"a", at(-9)), (b"b", at(-9)), ["head"]),
    "now-without": ((b"a", at(-9)), (None, at(-9)), []),
    "quiet": ((b"a", None), (b"a", None), []),
}


@pytest.mark.slow
def test_another_head_is_a_signal_of_its_own_kind(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {name: {} for name in HEADS})
    before = {name: case[0] for name, case in HEADS.items()}
    now = {name: case[1] for name, case in HEADS.items()}
    for number, shown in enumerate((before, now), start=1):
        found = [Listing(name, url_of(name), head=head, changed_at=time) for name, (head, time) in shown.items()]
        merged_listings(spark, tmp_path, number, found)
    assert kinds(spark) == {url_of(name): expected for name, (_, _, expected) in HEADS.items() if expected}
