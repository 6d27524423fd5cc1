"""Spark's Python workers between tasks."""

from __future__ import annotations

import importlib
import tempfile
import zipimport
from collections.abc import Iterable, Iterator
from pathlib import Path

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


def temporary_folder(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        with tempfile.NamedTemporaryFile() as file:
            yield pa.RecordBatch.from_pydict({"path": [file.name]})


def test_temporary_files_lie_where_the_executor_spills(spark: SparkSession) -> None:
    (row,) = spark.range(0, 1, 1, 1).mapInArrow(temporary_folder, "path string").collect()
    local = spark.sparkContext._jvm.org.apache.spark.SparkEnv.get().blockManager().diskBlockManager().localDirsString()
    assert str(Path(row.path).parent) in list(local)
