"""Data frames from outside the tables: rows of this process, landed Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipeline.model.tables import Table, spark_type


def local_frame(spark: SparkSession, rows: Sequence[Collection[Any]], schema: pa.Schema) -> DataFrame:
    """A small frame that travels inside the query plan: no Python worker and no job to read it."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return spark.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))


def read_parquet(spark: SparkSession, table: Table, uris: Sequence[str]) -> DataFrame:
    """Landed files of a table, with its schema given, so that Spark opens none of them to find it out."""
    schema = ", ".join(f"{c.name} {spark_type(c.type)}" for c in table.columns)
    return spark.read.schema(schema).parquet(*uris)
