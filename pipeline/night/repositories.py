"""``repositories``: one row per origin, the catalogue to look at first."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import REPOSITORIES
from pipeline.night.files import local_frame_of
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets
from pipeline.tables.rewrite import Seen, overwrite
from pipeline.tables.writer import Writer


def replace_repositories(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Replace the rows of moved origins, after ``files`` and ``head_blobs``, in one commit for the touched buckets.

    Args:
        heads: moved origins, as ``HEADS``.
        seen: the table as it was before ``heads`` were found.
    """
    spark, buckets = writer.spark, set(heads["bucket"].to_pylist())
    moved = F.broadcast(local_frame_of(spark, heads))
    files = spark.table(full_name("files")).where(in_buckets(buckets))
    blobs = spark.table(full_name("head_blobs")).where(in_buckets(buckets))
    new = moved.join(_sums(files, blobs, moved), ["bucket", "origin"], "left").select(
        *(
            F.coalesce(name, F.lit(0)).alias(name) if name in ("files", "bytes") else F.col(name)
            for name in REPOSITORIES.column_names
        )
    )
    old = seen.rows().where(in_buckets(buckets)).select(*REPOSITORIES.column_names)
    kept = old.join(moved.select("bucket", "origin"), ["bucket", "origin"], "left_anti")
    overwrite(kept.unionByName(new), seen, in_buckets(buckets), {LOAD_PROPERTY: load.name})


def _sums(files: DataFrame, blobs: DataFrame, moved: DataFrame) -> DataFrame:
    """Files, bytes and main language of each moved origin that has files."""
    per_language = (
        files.join(moved.select("bucket", "origin"), ["bucket", "origin"], "left_semi")
        .join(blobs.select("bucket", "network", "oid", "size", "language"), ["bucket", "network", "oid"], "left")
        .groupBy("bucket", "origin", "language")
        .agg(F.count("*").alias("files"), F.coalesce(F.sum("size"), F.lit(0)).alias("bytes"))
    )
    main = F.max_by("language", F.when(F.col("language").isNotNull(), F.struct("bytes", "language")))
    return per_language.groupBy("bucket", "origin").agg(
        F.sum("files").alias("files"), F.sum("bytes").alias("bytes"), main.alias("language")
    )
