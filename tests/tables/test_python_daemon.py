"""Spark's Python workers between tasks."""

from __future__ import annotations

import importlib
import zipimport
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession


def read_again(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """How many archives a worker knows, and how many directories it reads again when asked to forget them."""
    for _ in batches:
        read: dict[str, object] = vars(zipimport)["_zip_directory_cache"]
        known = dict(read)
        importlib.invalidate_caches()
        anew = sum(read[archive] is not known[archive] for archive in known)
        yield pa.RecordBatch.from_pydict({"known": [len(known)], "anew": [anew]})


def test_workers_do_not_read_sparks_archives_before_each_task(spark: SparkSession) -> None:
    (row,) = spark.range(0, 1, 1, 1).mapInArrow(read_again, "known bigint, anew bigint").collect()
    assert row.known > 0
    assert row.anew == 0
