"""What people keep out stays out, however often a forge shows it under other names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Listing
from pipeline.model.origin import Origin
from pipeline.model.pattern import Pattern
from pipeline.model.tables import ORIGINS
from pipeline.night.listings import merge_pages
from pipeline.night.origins import add_origins
from pipeline.night.standing import opt_out
from pipeline.storage.local import LocalStorage
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.night.test_signals import ALL, at, url_of
from tests.tables.landing import BUCKETS


def visited(spark: SparkSession) -> set[str]:
    rows = spark.table(full_name(ORIGINS.name)).where("state IN ('active', 'gone')").collect()
    return {row["url"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("state", ["active", "gone"])
def test_a_repository_that_moves_twice_stays_out(spark: SparkSession, tmp_path: Path, state: str) -> None:
    storage = LocalStorage(tmp_path)
    there = url_of("there").removesuffix(".git")
    add_origins(spark, [Origin(there, None)], BUCKETS, at(0))
    spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET state = '{state}'")
    opt_out(spark, [Pattern(url_of("out")), Pattern(url_of("other"))])
    moves = [("out", "other"), ("once", "there"), ("twice", "there"), ("twice", "there"), ("thrice", "there")]
    for number, (name, other) in enumerate(moves, start=1):
        place = ForgePass("f", number)
        found = [Listing("1", url_of(name)), Listing("2", url_of(other)), Listing("3", url_of("free"))]
        write_page(storage, tmp_path, place, 1, found, Progress(next=None, pages=1))
        pages = [storage.uri(place.page(1, 1))]
        for _ in range(2):  # the second as after a kill
            merged = merge_pages(unleased(spark), place, pages, ALL, BUCKETS, at(24 * number))
            assert merged.refused == {"opted_out": 2}, number
        assert visited(spark) == {url_of("free")} | ({there} if number == 1 else set()), number
