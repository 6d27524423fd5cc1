"""``repositories``: one row per origin, the catalogue to look at first."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import REPOSITORIES
from pipeline.night.files import local_frame_of
from pipeline.tables.change import change_rows, keys_among
from pipeline.tables.file_rows import sums_by_origin
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets
from pipeline.tables.rewrite import Seen
from pipeline.tables.writer import Writer


def replace_repositories(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Replace the rows of moved origins, after ``files`` and ``head_blobs``, in one commit.

    Args:
        heads: moved origins, as ``HEADS``.
        seen: the table as it was before ``heads`` were found.
    """
    spark, buckets = writer.spark, set(heads["bucket"].to_pylist())
    moved = F.broadcast(local_frame_of(spark, heads))
    files = spark.table(full_name("files")).where(in_buckets(buckets))
    blobs = spark.table(full_name("head_blobs")).where(in_buckets(buckets))
    networks = moved.select("bucket", "network").distinct()
    files, blobs = (each.join(F.broadcast(networks), ["bucket", "network"], "left_semi") for each in (files, blobs))
    new = moved.join(sums_by_origin(files, blobs, moved), ["bucket", "origin"], "left").select(
        *(
            F.coalesce(name, F.lit(0)).alias(name) if name in ("files", "bytes") else F.col(name)
            for name in REPOSITORIES.column_names
        )
    )
    gone = keys_among(seen, moved, ["bucket", "origin"], buckets)
    change_rows(seen, gone, new, buckets, {LOAD_PROPERTY: load.name})
