"""An origin whose server hides what is gone is gone if listings say so, and visited again if one shows it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Listing, Merged
from pipeline.model.tables import ORIGINS
from pipeline.night import listings as listings_module
from pipeline.night.listings import merge_pages
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.night.test_signals import ALL, at, fill_origins, interrupted, url_of
from tests.tables.landing import BUCKETS

HIDDEN: dict[str, Any] = {"last_status": "refused", "last_error": "login_required", "failures": 2}
DUE = date(2026, 11, 30)
ORIGINS_BEFORE: dict[str, dict[str, Any]] = {
    "hidden": HIDDEN,
    "bare": HIDDEN | {"url": "https://forge.example/o/bare"},
    "failing": {"last_status": "failed", "last_error": "timeout", "failures": 2},
    "not-found": {"last_status": "not_found", "last_error": "not_found", "failures": 2},
    "well": {},
    "paused": HIDDEN | {"state": "paused"},
    "another": HIDDEN,
    "never-listed": HIDDEN,
    "asked-for": HIDDEN | {"next_due": None},
    "shown": HIDDEN,
    "gone-but-shown": HIDDEN | {"state": "gone"},
}
NOT_SHOWN = ("hidden", "bare", "failing", "not-found", "well", "paused", "another", "asked-for")
SHOWN = ("shown", "gone-but-shown")


def shown(*names: str, ids: str = "") -> list[Listing]:
    return [Listing(f"{ids}{name}", url_of(name)) for name in names]


def standing(spark: SparkSession) -> dict[str, tuple[str, date | None]]:
    rows = spark.table(full_name(ORIGINS.name)).collect()
    assert {row["failures"] for row in rows} <= {0, 2}, "failures stay"
    return {row["url"].rpartition("/")[2].removesuffix(".git"): (row["state"], row["next_due"]) for row in rows}


@pytest.mark.slow
def test_what_listings_say_to_be_gone_is_if_its_server_hides_it(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_origins(spark, {name: {"next_due": DUE} | origin for name, origin in ORIGINS_BEFORE.items()})

    def merge(number: int, found: Sequence[Listing] = (), missing_since: int | None = None) -> Merged:
        """Merge a pass of one page, which is there if nothing is found."""
        storage, place = LocalStorage(tmp_path), ForgePass("f", number)
        if found:
            write_page(storage, tmp_path, place, 1, found, Progress(next=None, pages=1))
        pages, now = [storage.uri(place.page(1, 1))], at(24 * number)
        return merge_pages(unleased(spark), place, pages, ALL, BUCKETS, now, missing_since=missing_since)

    merge(1, shown(*NOT_SHOWN, *SHOWN))
    assert standing(spark)["gone-but-shown"] == ("active", None), "it is listed for the first time"
    again = f"state = 'gone', next_due = date '{DUE}' WHERE url LIKE '%gone-but%'"
    spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET {again}")
    before = standing(spark)
    another = [*shown(*SHOWN), *shown("another", ids="new-")]
    assert merge(2, another, missing_since=1).gone == 0
    assert standing(spark) == before, "one pass is no proof"
    assert merge(3, another, missing_since=2).gone == len(NOT_SHOWN)
    gone = ("gone", at(72).date() + timedelta(days=30))
    assert standing(spark) == before | {"hidden": gone, "bare": gone}
    assert merge(4, another, missing_since=3).gone == 0
    assert standing(spark) == before | {"hidden": gone, "bare": gone}, "nothing is put off again"

    with monkeypatch.context() as killed:
        killed.setattr(listings_module, "bring_back", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merge(5, shown("hidden", *SHOWN))
    assert merge(5).origins == 0
    back = ("active", None)
    assert standing(spark) == before | {"hidden": back, "bare": gone, "gone-but-shown": back}, (
        "of a repeated merge, all"
    )
    spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET state = 'gone', next_due = current_date() WHERE state <> 'paused'")
    left = standing(spark)
    merge(6, shown("hidden", *SHOWN))
    assert standing(spark) == left, "what is listed all the time is left to visits"
    merge(7, [*shown("bare", ids="new-"), Listing("hidden", url_of("never-listed"))])
    assert standing(spark) == left | {"bare": back, "never-listed": back}, "as something else"
