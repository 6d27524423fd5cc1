"""Data frames from outside the tables: rows of this process, landed Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import Table, spark_type
from pipeline.rules.slices import bucket_slices
from pipeline.tables.iceberg import in_buckets

MOST_BROADCAST = 2_000_000
"""Maximum number of ids that are sent to every executor at once."""

_URLS = pa.schema([("url", pa.string())])


def local_frame(spark: SparkSession, rows: Sequence[Collection[Any]], schema: pa.Schema) -> DataFrame:
    """A small frame that travels inside the query plan; reading it needs no Python worker and no job."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return spark.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))


def url_frame(spark: SparkSession, urls: Iterable[str]) -> DataFrame:
    """``local_frame`` of URLs, in the column ``url``."""
    return local_frame(spark, [(url,) for url in urls], _URLS)


def read_parquet(spark: SparkSession, table: Table, uris: Sequence[str]) -> DataFrame:
    """Landed files of a table, with an explicit schema, so that Spark opens none of them to infer it."""
    schema = ", ".join(f"{c.name} {spark_type(c.type)}" for c in table.columns)
    return spark.read.schema(schema).parquet(*uris)


def join_ids(table: DataFrame, ids: DataFrame, key: list[str], how: str, counts: Mapping[int, int]) -> DataFrame:
    """Join a table with broadcast ids, so that the table is never shuffled, however many ids there are.

    Buckets are combined as long as their ids stay below ``MOST_BROADCAST``.

    Args:
        table: has the columns of the key, including bucket.
        how: inner or left_semi.
        counts: number of ids by bucket; other buckets are not read. Must not be empty.
    """
    parts = (
        table.where(in_buckets(buckets)).join(F.broadcast(ids.where(in_buckets(buckets))), key, how)
        for buckets in bucket_slices(counts, MOST_BROADCAST)
    )
    return reduce(DataFrame.unionByName, parts)
