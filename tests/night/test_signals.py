"""A listing that shows a change since the last visit is a signal for the origin, as ``origins pushed`` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Listing, Merged
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.pattern import OptOuts
from pipeline.model.tables import ORIGINS
from pipeline.night import listings as listings_module
from pipeline.night.listings import merge_pages
from pipeline.night.standing import SLACK
from pipeline.rules.listings import Wanted
from pipeline.storage.local import LocalStorage
from pipeline.tables.conflicts import nothing, overwrite
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.tables.landing import BUCKETS

VISIT = datetime(2026, 11, 20, 1, tzinfo=UTC)
NONE = OptOuts(())
ALL = Wanted(forks=True, archived=True, largest_bytes=None, only=NONE, without=NONE, opted_out=NONE, taken_down=NONE)


def at(hours: float) -> datetime:
    """So long after the visit."""
    return VISIT + timedelta(hours=hours)


LISTED: dict[str, tuple[datetime | None, datetime | None, dict[str, Any], dict[str, Any], bool]] = {
    # what the listing before showed, and this one; the listing; the origin; whether it is a signal
    "pushed": (at(-9), at(3), {}, {}, True),
    "pushed-before": (at(-9), at(-3), {}, {}, False),
    "by-a-slow-clock": (at(-9), VISIT - SLACK / 2, {}, {}, True),
    "by-a-slow-clock-again": (VISIT - SLACK / 2, VISIT - SLACK / 2, {}, {}, False),
    "quiet": (at(-9), at(-9), {}, {}, False),
    "quiet-since": (at(3), at(3), {}, {}, False),
    "unsaid": (at(-9), None, {}, {}, False),
    "new-here": (None, at(3), {}, {}, True),
    "new-here-quiet": (None, at(-3), {}, {}, False),
    "failed": (at(-9), at(-3), {}, {"failures": 2}, True),
    "mirror": (at(-9), at(-3), {"mirror": True}, {}, True),
    "mirror-back": (at(-3), at(-9), {"mirror": True}, {}, True),
    "mirror-quiet": (at(-9), at(-9), {"mirror": True}, {}, False),
    "mirror-new-here": (None, at(-3), {"mirror": True}, {}, False),
    "private": (at(-9), at(3), {"private": True}, {}, False),
    "paused": (at(-9), at(3), {}, {"state": "paused"}, False),
    "gone": (at(-9), at(3), {}, {"state": "gone"}, True),
    "unvisited": (at(-9), at(3), {}, {"last_visit": None}, False),
    "known-to": (at(-9), at(3), {}, {"signalled_at": at(1)}, False),
    "known-to-people": (at(-9), at(3), {}, {"signalled_at": at(1), "signals": ["pushed"]}, False),
    "bare": (at(-9), at(3), {}, {"url": "https://forge.example/o/bare"}, True),
}


def url_of(name: str) -> str:
    return f"https://forge.example/o/{name}.git"


def fill_origins(spark: SparkSession, origins: Mapping[str, Mapping[str, Any]]) -> None:
    """Origins that have been visited, by name, with what else each has."""
    rows = []
    for name, origin in origins.items():
        row: dict[str, Any] = dict.fromkeys(ORIGINS.column_names) | {"url": url_of(name), "state": "active"}
        row |= {"added_at": at(-99), "last_visit": VISIT, "last_status": "full", "failures": 0} | dict(origin)
        network = network_id(row["url"])
        rows.append(tuple((row | {"network": network, "bucket": bucket_of(network, BUCKETS)}).values()))
    overwrite(local_frame(spark, rows, ORIGINS.arrow_schema), unleased(spark).see(ORIGINS.name), nothing())


def merged(
    spark: SparkSession, root: Path, number: int, changed: Mapping[str, datetime | None], **options: Any
) -> Merged:
    """Merge a pass of one page."""
    forge_id = options.pop("forge_id", None)
    found = [
        Listing(forge_id or name, url_of(name), changed_at=time, **(LISTED[name][2] if number > 1 else {}))
        for name, time in changed.items()
    ]
    return merged_listings(spark, root, number, found, **options)


def merged_listings(spark: SparkSession, root: Path, number: int, found: Sequence[Listing], **options: Any) -> Merged:
    """The same, of these listings."""
    storage, place = LocalStorage(root), ForgePass("f", number)
    write_page(storage, root, place, 1, found, Progress(next=None, pages=1))
    pages, wanted = [storage.uri(place.page(1, 1))], options.pop("wanted", ALL)
    return merge_pages(unleased(spark), place, pages, wanted, BUCKETS, at(24 * number), **options)


def signals(spark: SparkSession) -> dict[str, datetime]:
    rows = spark.table(full_name(ORIGINS.name)).where("signalled_at IS NOT NULL").collect()
    return {row["url"]: row["signalled_at"].astimezone(UTC) for row in rows}


def kinds(spark: SparkSession) -> dict[str, list[str] | None]:
    """Of the signals that are known, by URL."""
    rows = spark.table(full_name(ORIGINS.name)).where("signalled_at IS NOT NULL OR signals IS NOT NULL").collect()
    return {row["url"]: row["signals"] for row in rows}


def forget(spark: SparkSession) -> None:
    told = f"signalled_at = timestamp '{at(1).isoformat()}'"
    spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET signalled_at = NULL, signals = NULL WHERE NOT {told}")


@pytest.mark.slow
def test_what_a_listing_shows_to_have_changed_is_a_signal(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_origins(spark, {name: origin for name, (_, _, _, origin, _) in LISTED.items()})
    merged(spark, tmp_path, 1, {name: before for name, (before, *_) in LISTED.items() if before is not None})
    forget(spark)
    known = signals(spark)
    assert known.keys() == {url_of("known-to"), url_of("known-to-people")}
    now = {name: after for name, (_, after, *_) in LISTED.items()}

    with monkeypatch.context() as killed:
        killed.setattr(listings_module, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merged(spark, tmp_path, 2, now)
    expected = {LISTED[name][3].get("url", url_of(name)): at(48) for name in LISTED if LISTED[name][4]}
    assert signals(spark) == expected | known, "a kill before the listing is merged loses none"
    again = merged(spark, tmp_path, 3, now)
    assert (again.signalled, again.listed) == (0, len(LISTED))
    told = {url: ["committed" if "mirror" in url else "updated"] for url in expected}
    assert kinds(spark) == told | {url_of("known-to"): None, url_of("known-to-people"): ["pushed", "updated"]}
    forget(spark)
    assert merged(spark, tmp_path, 4, now).signalled == 0, "nothing moved since"

    later = {name: at(-5) for name in ("pushed", "quiet", "new-here-quiet")}
    assert merged(spark, tmp_path, 5, later).signalled == 0
    earlier = {name: at(-6) for name in later}
    assert merged(spark, tmp_path, 6, earlier, by_commits=True).signalled == 3, "as grokmirror's times"
    found = kinds(spark)
    assert [found[url_of(name)] for name in later] == [["committed"]] * 3


def interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt
