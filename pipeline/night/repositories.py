"""``repositories``: one row per origin, the catalogue to look at first."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import REPOSITORIES
from pipeline.night.files import local_frame_of
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.conflicts import Seen
from pipeline.tables.file_rows import Pointers, sums_by_origin
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name
from pipeline.tables.writer import Writer


def replace_repositories(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Replace the rows of moved origins, after ``files`` and ``head_blobs``, in one commit.

    Args:
        heads: moved origins, as ``HEADS``.
        seen: the table as it was before ``heads`` were found.
    """
    spark, buckets = writer.spark, set(heads["bucket"].to_pylist())
    moved = F.broadcast(local_frame_of(spark, heads))
    theirs = in_places(buckets, set(heads["network"].to_pylist()))
    networks = F.broadcast(moved.select("bucket", "network").distinct())
    files, blobs = (
        spark.table(full_name(name)).where(theirs).join(networks, ["bucket", "network"], "left_semi")
        for name in ("files", "head_blobs")
    )
    sums = sums_by_origin(files, blobs, moved, Pointers.collected(files, moved))
    new = moved.join(sums, ["bucket", "origin"], "left").select(
        *(
            F.coalesce(name, F.lit(0)).alias(name) if name in ("files", "bytes") else F.col(name)
            for name in REPOSITORIES.column_names
        )
    )
    known = heads.filter(heads["known"]).select(["bucket", "origin"])
    gone = local_frame_of(spark, known)
    change_rows(seen, RowChange(new, heads.num_rows, gone, known.num_rows, buckets), {LOAD_PROPERTY: load.name})


def point_to_trees(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Let known origins name the trees whose lines ``files`` has by now, where they cannot be derived any further.

    All else of their rows stays, so a later load finds them moved, as before.

    Args:
        heads, seen: as in ``replace_repositories``.
    """
    known = heads.filter(heads["known"])
    if not known.num_rows:
        return
    spark, buckets = writer.spark, set(known["bucket"].to_pylist())
    trees = local_frame_of(spark, known.select(["bucket", "origin", "tree"])).withColumnRenamed("tree", "now")
    rows = seen.rows().where(in_places(buckets, set(known["network"].to_pylist())))
    new = rows.join(F.broadcast(trees), ["bucket", "origin"]).withColumn("tree", F.col("now"))
    gone = local_frame_of(spark, known.select(["bucket", "origin"]))
    change = RowChange(new.select(*REPOSITORIES.column_names), known.num_rows, gone, known.num_rows, buckets)
    change_rows(seen, change, {LOAD_PROPERTY: load.name})
