"""Objects that a load brings although they were taken down after the load was planned."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import BY_NAME
from pipeline.model.tombstone import ANYWHERE, OBJECT, ORIGIN, TAKEDOWNS
from pipeline.tables.frames import read_parquet
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import set_pending, takedowns_exist

log = logging.getLogger(__name__)

_BODIES = ("contents", "commits", "trees", "tags")


def reopen_takedowns(spark: SparkSession, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Make readers hide takedowns again whose rows a load brings, until these rows are removed from the files, too.

    Called before the load is registered, so no reader ever sees the rows.

    Args:
        files: URIs of the load's Parquet files by table.

    Returns:
        The takedowns.
    """
    if not takedowns_exist(spark):
        return []
    stones = spark.table(full_name(TAKEDOWNS))
    found = []
    for table in ("visits", "refs"):
        if files.get(table):
            rows = read_parquet(spark, BY_NAME[table], files[table]).select(F.col("origin").alias("url")).distinct()
            found.append(stones.where(F.col("kind") == ORIGIN).join(rows, "url").select("takedown"))
    ids = [
        read_parquet(spark, BY_NAME[table], files[table]).select("network", "oid")
        for table in _BODIES
        if files.get(table)
    ]
    if ids:
        landed = reduce(DataFrame.unionByName, ids)
        somewhere = stones.where(F.col("kind") == OBJECT).select("takedown", "network", "oid")
        anywhere = stones.where(F.col("kind") == ANYWHERE).select("takedown", "oid")
        found.append(landed.join(F.broadcast(somewhere), ["network", "oid"]).select("takedown"))
        found.append(landed.join(F.broadcast(anywhere), "oid").select("takedown"))
    if not found:
        return []
    late = sorted({row["takedown"] for row in reduce(DataFrame.unionByName, found).distinct().collect()})
    for takedown in late:
        log.warning("takedown %s: a load planned before it brings some of its rows; they stay hidden", takedown)
        set_pending(spark, takedown)
    return late
