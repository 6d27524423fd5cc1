"""Where the origins of a load stand now, and which of them moved."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import OID, TIME
from pipeline.tables.doubles import one_row_a_url
from pipeline.tables.iceberg import full_name, in_buckets
from pipeline.tables.refs import is_there, last_changes

HEADS = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("origin", pa.string()),
        ("fork_of", pa.string()),
        ("night", pa.date32()),
        ("head_ref", pa.string()),
        ("head_commit", OID),
        ("head_time", TIME),
        ("tree", OID),
        ("before", OID),
        ("branches", pa.int64()),
        ("tags", pa.int64()),
        ("known", pa.bool_()),
        ("head_moved", pa.bool_()),
    ]
)
"""A moved origin. ``night`` is that of the change published last; ``tree`` is the root tree at HEAD, null if HEAD is no
commit; ``before`` the one in ``repositories``, where ``known`` says that there is a row."""


def moved_heads(spark: SparkSession, load: Load, buckets: Collection[int]) -> pa.Table:
    """The origins whose refs changed in a load, or since they were last in ``repositories``, as ``HEADS``; each once.

    ``head_moved`` is true if HEAD differs from the commit in ``repositories``, or if an earlier version wrote its row.
    That table is written last, so a rerun after a crash finds the same origins until it is done.

    Args:
        buckets: where the load changed refs; others are skipped.
    """
    moved = _moved(spark, load, buckets)
    at = _with_commits(spark, moved, buckets)
    known = F.col("known_night").isNotNull()
    head_moved = (
        ~known | ~F.col("head_commit").eqNullSafe(F.col("known_head")) | ~F.col("tree").eqNullSafe(F.col("before"))
    )
    return at.withColumns({"known": known, "head_moved": head_moved}).select(*HEADS.names).toArrow().cast(HEADS)


def moved_counts(spark: SparkSession, load: Load, buckets: Collection[int]) -> dict[int, int]:
    """How many origins ``moved_heads`` returns, by bucket; buckets without any are missing."""
    counts = _moved(spark, load, buckets).groupBy("bucket").count().collect()
    return {row["bucket"]: row["count"] for row in counts}


def _moved(spark: SparkSession, load: Load, buckets: Collection[int]) -> DataFrame:
    changes = last_changes(spark.table(full_name("refs")).where(in_buckets(buckets)))
    known = spark.table(full_name("repositories")).where(in_buckets(buckets))
    known = known.groupBy("bucket", "origin").agg(
        F.max("night").alias("known_night"),
        F.max_by("head_commit", "night").alias("known_head"),
        F.max_by("tree", "night").alias("before"),
    )
    origins = one_row_a_url(spark.table(full_name("origins")).where(in_buckets(buckets)), "bucket")
    origins = origins.select("bucket", F.col("network").alias("home"), F.col("url").alias("origin"), "fork_of")
    return (
        _by_origin(changes)
        .join(known, ["bucket", "origin"], "left")
        .where((F.col("night") == F.lit(load.night)) | ~F.col("night").eqNullSafe(F.col("known_night")))
        .join(origins, ["bucket", "origin"], "left")
        .where(F.col("home").isNull() | (F.col("home") == F.col("network")))
    )


def _by_origin(changes: DataFrame) -> DataFrame:
    head = F.struct("target", "peeled", "symref")
    return changes.groupBy("bucket", "network", "origin").agg(
        F.max_by("night", "published").alias("night"),
        F.max(F.when((F.col("name") == "HEAD") & is_there(), head)).alias("head"),
        F.count_if(F.col("name").startswith("refs/heads/") & is_there()).alias("branches"),
        F.count_if(F.col("name").startswith("refs/tags/") & is_there()).alias("tags"),
    )


def _with_commits(spark: SparkSession, moved: DataFrame, buckets: Collection[int]) -> DataFrame:
    """Add the commit at HEAD, peeling an annotated tag if necessary."""
    key = ["bucket", "network", "at"]
    tags = spark.table(full_name("tags")).where(in_buckets(buckets))
    tags = tags.select("bucket", "network", F.col("oid").alias("at"), F.col("target").alias("tagged")).distinct()
    commits = spark.table(full_name("commits")).where(in_buckets(buckets))
    commits = commits.select(
        "bucket", "network", F.col("oid").alias("at"), "tree", F.col("committer_time").alias("head_time")
    )
    seen = F.coalesce("head.peeled", "head.target")
    heads = moved.withColumn("at", seen).join(tags, key, "left").withColumn("at", F.coalesce("tagged", "at"))
    wanted = heads.select(*key).where("at IS NOT NULL").distinct()
    found = commits.join(F.broadcast(wanted), key, "left_semi").dropDuplicates(key)
    head_commit = F.when(F.col("tree").isNotNull(), F.col("at"))
    return heads.join(found, key, "left").select(
        "*", F.col("head.symref").alias("head_ref"), head_commit.alias("head_commit")
    )
