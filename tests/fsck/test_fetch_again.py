"""The plan of a repair, which an ordinary fetch task reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.context.config import Config
from pipeline.maintain.fsck import fetch_again
from pipeline.model.origin import bucket_of
from pipeline.model.pattern import Pattern
from pipeline.night.standing import opt_out
from pipeline.storage.interface import Storage
from tests.tables.conftest import add
from tests.tables.landing import BUCKETS
from tests.tables.test_writers import session_beside


def test_origins_are_in_the_order_in_which_a_task_reads_their_refs(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = add(spark, *(f"https://example.org/{name}" for name in range(40)))
    mine = [origin for origin in origins if bucket_of(origin.network, BUCKETS) == 0]
    load = fetch_again.repair_load()
    read: list[Any] = []

    def fetch(storage: Storage, *_: object, **__: object) -> None:
        with storage.open(f"{load.plan_refs}/bucket=0/refs.parquet") as file:
            read.extend(pq.read_table(file, columns=["network", "url"]).to_pylist())

    monkeypatch.setattr(fetch_again, "fetch_bucket", fetch)
    networks = {origin.network for origin in mine}
    fetch_again.fetch_again(spark, storage, Config(), load, 0, networks, {}, tmp_path)
    expected = sorted((origin.network, origin.url) for origin in mine)
    assert len(expected) > 4
    assert [(row["network"], row["url"]) for row in read] == expected


def test_an_origin_that_was_opted_out_by_others_is_not_asked(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_again, "fetch_bucket", lambda *_, **__: "asked")
    (origin,) = add(spark, "https://example.org/a")
    assert spark.table("origins").where("state = 'active'").count() == 1
    opt_out(session_beside(spark), [Pattern(origin.url)])
    bucket = bucket_of(origin.network, BUCKETS)
    load = fetch_again.repair_load()
    assert fetch_again.fetch_again(spark, storage, Config(), load, bucket, {origin.network}, {}, tmp_path) is None
