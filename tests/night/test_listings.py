"""What a merge of a slice reads, and what housekeeping makes of the table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.maintain.retention import apply_nights, plan_nights
from pipeline.maintain.rewrite import apply_manifests, apply_small_files, plan_manifests, plan_small_files
from pipeline.model.layout import WAREHOUSE, ForgePass
from pipeline.model.listing import LISTINGS, Listing, Merged
from pipeline.model.tables import NAMESPACE, ORIGINS
from pipeline.night import listings as listings_module
from pipeline.night.listings import merge_pages
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.night.test_signals import ALL, at, url_of
from tests.support.spark import until_listeners_are_done
from tests.tables.landing import BUCKETS

COUNT = 6_000
ODD = ["it's", "back\\slash", "${spark.app.name}", "x\n-- ", "é"]


def merged(spark: SparkSession, storage: Storage, scratch: Path, number: int, found: list[Listing]) -> Merged:
    """Merge a pass of one page."""
    place = ForgePass("f", number)
    write_page(storage, scratch, place, 1, found, Progress(next=None, pages=1))
    return merge_pages(unleased(spark), place, [storage.uri(place.page(1, 1))], ALL, BUCKETS, at(24 * number))


def listing(name: int | str, hours: float = 0, **more: Any) -> Listing:
    return Listing(str(name), url_of(f"r{name}"), changed_at=at(hours), **more)


def records(spark: SparkSession) -> dict[int, int]:
    """Rows that each stage has read from files."""
    until_listeners_are_done(spark)
    store = spark._jsparkSession.sparkContext().statusStore()
    defaults = [getattr(store, f"stageList$default${number}")() for number in range(2, 6)]
    found = store.stageList(None, *defaults)
    stages = [found.apply(at) for at in range(found.size())]
    return {stage.stageId(): stage.inputRecords() for stage in stages}


def rows(spark: SparkSession) -> list[Row]:
    return spark.table(full_name(LISTINGS.name)).orderBy("forge_id").collect()


@pytest.mark.slow
def test_a_slice_reads_the_rows_that_it_concerns_and_housekeeping_keeps_it_so(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings_module, "GROUP_BYTES", 8 << 10)
    first = [*(listing(1_000_000 + number) for number in range(COUNT)), *map(listing, ODD)]
    assert merged(spark, storage, tmp_path, 1, first).new == len(first)
    origins = spark.table(full_name(ORIGINS.name)).count()
    assert origins == len(first)

    before = records(spark)
    some = [*(listing(1_000_000 + number, 3) for number in (5, 9, 4_000)), *(listing(name, 3) for name in ODD)]
    again = merged(spark, storage, tmp_path, 2, some)
    assert (again.new, again.listed, again.origins) == (0, len(some), 0), "odd ids are found again"
    read = sum(count for stage, count in records(spark).items() if stage not in before)
    assert read < 2 * origins, "urls of all origins once, and of listings a part"

    fork = listing("fork", 4, parent_id=str(1_000_005), fork=True)
    known = {row["forge_id"]: row for row in rows(spark)}
    assert merged(spark, storage, tmp_path, 3, [fork]).origins == 1
    (found,) = spark.table(full_name(ORIGINS.name)).where("url LIKE '%rfork.git'").collect()
    assert found["fork_of"] == known["1000005"]["url"]

    expected = rows(spark)
    small = [each for each in plan_small_files(spark, small_bytes=128 << 20, most=2) if each.table == LISTINGS.name]
    assert [(each.bucket, each.files) for each in small] == [(0, 3)]
    apply_small_files(unleased(spark), storage, small, small_bytes=128 << 20, on_damage=pytest.fail)
    assert plan_small_files(spark, small_bytes=128 << 20, most=2) == []
    apply_manifests(unleased(spark), [each for each in plan_manifests(spark, most=1) if each.table == LISTINGS.name])
    now = time.time() + 0.001
    plan = plan_nights(spark, storage, dailies=1, monthlies=0, since=now, retired_before=now, now=now)
    apply_nights(unleased(spark), storage, plan)
    assert rows(spark) == expected
    assert spark.sql(f"SELECT * FROM {full_name(LISTINGS.name)}.snapshots").count() == 1
    data = Path(storage.root_uri.removeprefix("file://"), WAREHOUSE, NAMESPACE, LISTINGS.name, "data")
    assert len(list(data.rglob("*.parquet"))) == 1, "files of forgotten snapshots are gone"


@pytest.mark.slow
def test_a_damaged_file_of_listings_holds_up_no_other_table(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    for number in range(1, 4):
        merged(spark, storage, tmp_path, number, [listing(number)])
    data = Path(storage.root_uri.removeprefix("file://"), WAREHOUSE, NAMESPACE, LISTINGS.name, "data")
    damaged = sorted(data.rglob("*.parquet"))[0]
    damaged.write_bytes(b"PAR1" + bytes(damaged.stat().st_size - 8) + b"PAR1")
    found: list[str] = []
    small = plan_small_files(spark, small_bytes=128 << 20, most=1)
    assert [each.table for each in small].index(LISTINGS.name) < [each.table for each in small].index(ORIGINS.name)
    apply_small_files(unleased(spark), storage, small, small_bytes=128 << 20, on_damage=found.append)
    assert len(found) == 1
    assert LISTINGS.name in found[0]
    left = plan_small_files(spark, small_bytes=128 << 20, most=1)
    assert [each.table for each in left] == [LISTINGS.name]
