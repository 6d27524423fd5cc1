"""The tables that housekeeping looks after."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipeline.model.listing import LISTINGS
from pipeline.model.tables import ALL, Table
from pipeline.tables.iceberg import table_exists


def house(spark: SparkSession) -> list[Table]:
    """Those of nights and, if a forge was ever listed, ``listings``, which has neither buckets nor tags."""
    return [*ALL, *([LISTINGS] if table_exists(spark, LISTINGS.name) else [])]
