"""A HEAD that differs from that of the listing before is a signal, unless a visit came after what moved it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.listing import LISTINGS, Listing
from pipeline.tables.iceberg import full_name
from tests.night.test_signals import at, fill_origins, merged_listings, signals, url_of

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
