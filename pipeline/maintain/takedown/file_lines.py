"""The rows of ``files`` that a takedown leaves: what some remaining tree at HEAD still needs, on any kept night."""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.line_rows import KEY, key_fields
from pipeline.model.tables import FILES, GONE, spark_type
from pipeline.tables.file_rows import Lines
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name, in_buckets

_PLACE = ["bucket", "network", "line"]
_IDS = pa.schema([("network", pa.int64()), ("tree", pa.binary())])
_NETWORKS = pa.schema([("network", pa.int64())])


def needed_rows(spark: SparkSession, snapshots: Collection[int], doomed: Doomed) -> pa.Table:
    """``KEY`` of the rows of lines that stay in the networks of taken-down origins, each once.

    A line goes if its tree is doomed. Of a line that goes but on which others are based, those rows stay that at least
    one of them still has, and what the others say of its other paths goes as well.

    Args:
        snapshots: all snapshots of ``files`` that readers find. A row that one of them needs stays in all of them.
    """
    networks = doomed.where(FILES.name) - doomed.networks
    parts = [_needed(spark, snapshot, networks, doomed) for snapshot in sorted(snapshots)] if networks else []
    if not parts:
        return pa.schema([FILES.arrow_schema.field(name) for name in KEY]).empty_table()
    return reduce(DataFrame.unionByName, parts).distinct().toArrow()


def _needed(spark: SparkSession, snapshot: int, networks: Collection[int], doomed: Doomed) -> DataFrame:
    stored = spark.read.option("versionAsOf", snapshot).table(full_name(FILES.name))
    if "line" not in stored.columns:
        return spark.createDataFrame([], ", ".join(f"{f.name} {spark_type(f.type)}" for f in key_fields()))
    mine = F.broadcast(local_frame(spark, [(network,) for network in sorted(networks)], _NETWORKS))
    stored = stored.where(in_buckets(doomed.buckets) & F.col("line").isNotNull()).join(mine, "network", "left_semi")
    ids = [(network, oid) for network in sorted(networks) for oid in sorted(doomed.objects.get(network, ()))]
    gone = F.broadcast(local_frame(spark, ids, _IDS))
    lines = Lines.of(stored)
    staying = lines.roots.join(gone, ["network", "tree"], "left_anti")
    own = stored.join(staying.select(*_PLACE), _PLACE, "left_semi")
    users = staying.where(F.col("from").isNotNull()).select(
        "bucket", "network", F.col("line").alias("mine"), F.col("from").alias("line")
    )
    inherited = lines.inherited(users).select(*KEY).distinct()
    served = lines.rows.join(staying.select(*_PLACE), _PLACE, "left_semi").select(*KEY)
    there = inherited.unionByName(served).select("network", F.col("line").alias("base"), "path", "path_raw").distinct()
    there = there.select(*(F.col(name).alias(f"{name}_") for name in there.columns))
    said = own.where(F.col("kind") == GONE)
    same = [said[name].eqNullSafe(there[f"{name}_"]) for name in ("network", "base", "path", "path_raw")]
    return (
        own.where(F.col("kind") != GONE)
        .select(*KEY)
        .unionByName(said.join(there, same, "left_semi").select(*KEY))
        .unionByName(inherited)
    )
