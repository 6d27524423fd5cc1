"""An event that names an archived origin, by its id or its path, is a signal; the driver sees counts only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Listing, Merged
from pipeline.model.tables import ORIGINS
from pipeline.night.events import SLACK, merge_events
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.night.test_signals import at, fill_origins, kinds, merged, merged_listings, signals, url_of
from tests.tables.test_writers import session_beside

EVENTS: dict[str, tuple[float | None, dict[str, Any], bool]] = {
    # hours from the visit to the event, None for no event; the origin; whether it is a signal
    "pushed": (3, {}, True),
    "pushed-before": (-1, {}, False),
    "by-a-slow-clock": (-SLACK / timedelta(hours=2), {}, True),
    "quiet": (None, {}, False),
    "failed": (-3, {"failures": 2}, True),
    "paused": (3, {"state": "paused"}, False),
    "opted-out": (3, {"state": "opted_out"}, False),
    "gone": (3, {"state": "gone"}, True),
    "unvisited": (3, {"last_visit": None}, False),
    "known-to": (3, {"signalled_at": at(1)}, False),
    "listed": (3, {"signalled_at": at(1), "signals": ["updated"]}, False),
    "bare": (3, {"url": "https://forge.example/o/bare"}, True),
    "old-name": (None, {}, True),
    "of-another-forge": (None, {"url": "https://other.example/o/x"}, False),
}


def told(spark: SparkSession, root: Path, number: int, found: Iterable[Listing], ids_of: str | None = "f") -> Merged:
    storage, place = LocalStorage(root), ForgePass("events", number)
    write_page(storage, root, place, 1, tuple(found), Progress(next=None, pages=1))
    return merge_events(unleased(spark), [storage.uri(place.page(1, 1))], ids_of, at(24 * number))


@pytest.mark.slow
def test_what_events_name_is_a_signal_by_path_or_id(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {name: origin for name, (_, origin, _) in EVENTS.items()})
    found = [
        Listing(f"1{number}", url_of(name).removesuffix(".git"), changed_at=at(hours))
        for number, (name, (hours, _, _)) in enumerate(EVENTS.items())
        if hours is not None
    ]
    moved = Listing("7", "https://forge.example/o/new-name", changed_at=at(3))
    unknown = [
        Listing("8", "https://forge.example/o/unknown", changed_at=at(3)),
        Listing("", url_of("x"), changed_at=at(3)),
    ]
    assert told(spark, tmp_path, 1, [moved, *unknown]).signalled == 0, "no listing knows the id yet"
    merged(spark, tmp_path, 1, {"old-name": at(-9)}, forge_id="7")
    assert told(spark, tmp_path, 2, [moved], ids_of=None).signalled == 0
    assert told(spark, tmp_path, 3, [moved], ids_of="another").signalled == 0
    before = spark.table(f"{full_name(ORIGINS.name)}.snapshots").count()
    done = told(spark, tmp_path, 4, [*found, found[0]._replace(changed_at=at(-5)), moved, *unknown])
    expected = {EVENTS[name][1].get("url", url_of(name)) for name in EVENTS if EVENTS[name][2]}
    assert {url for url, time in signals(spark).items() if time == at(96)} == expected
    assert (done.signalled, done.listed, done.origins) == (len(expected), len(found) + 3, 0)
    assert spark.table(f"{full_name(ORIGINS.name)}.snapshots").count() == before + 1
    known = {url_of("known-to"): None, url_of("listed"): ["event", "updated"]}
    assert kinds(spark) == {url: ["event"] for url in expected} | known
    assert told(spark, tmp_path, 5, [*found, moved]).signalled == 0, "nobody is told twice"
    assert told(spark, tmp_path, 6, []) == Merged(listed=0, new=0, moved=0, refused={}, origins=0)
    assert spark.table(full_name(ORIGINS.name)).count() == len(EVENTS)


def test_an_event_finds_the_name_that_another_process_has_just_listed(spark: SparkSession, tmp_path: Path) -> None:
    fill_origins(spark, {"old-name": {}})
    merged(spark, tmp_path, 1, {"a": at(-9)})
    moved = Listing("7", "https://forge.example/o/new-name", changed_at=at(3))
    assert told(spark, tmp_path, 1, [moved]).signalled == 0, "no listing knows the id yet"
    listed = Listing("7", url_of("old-name"), changed_at=at(-9))
    merged_listings(session_beside(spark), tmp_path, 2, [listed])
    assert told(spark, tmp_path, 2, [moved]).signalled == 1
