"""Files, bytes and repositories of each language at HEAD.

Result, one row per language (null: not recognised, or binary):

=============  ======  ======================================================
language       string  name of the language, as in ``head_blobs``
files          bigint  distinct files by content, over all networks
bytes          bigint  their size
repositories   bigint  distinct origins with such a file at HEAD
=============  ======  ======================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.errors import UsageError
from pipeline.read.archive import Archive


def census(head_blobs: DataFrame, files: DataFrame) -> DataFrame:
    """Count languages; a blob of several networks counts once, in its most frequent language.

    Args:
        head_blobs: the table of this name; bucket, network, oid, size and language are read.
        files: the table of this name; bucket, network, origin and oid are read.
    """
    blobs = head_blobs.groupBy("oid").agg(F.mode("language", True).alias("language"), F.first("size").alias("size"))
    sizes = blobs.groupBy("language").agg(
        F.count("*").alias("files"), F.coalesce(F.sum("size"), F.lit(0)).cast("bigint").alias("bytes")
    )
    users = (
        files.select("bucket", "network", "oid", "origin")
        .join(head_blobs.select("bucket", "network", "oid", "language"), ["bucket", "network", "oid"])
        .groupBy("language")
        .agg(F.countDistinct("origin").alias("repositories"))
    )
    return (
        sizes.alias("s")
        .join(users.alias("u"), F.col("s.language").eqNullSafe(F.col("u.language")), "left")
        .select("s.language", "files", "bytes", F.coalesce("repositories", F.lit(0)).alias("repositories"))
        .orderBy(F.col("bytes").desc(), "s.language")
    )


def main(archive: Archive, argv: Sequence[str]) -> DataFrame:
    """Run the census over the archive's night. Takes no arguments.

    Raises:
        UsageError: there are arguments.
    """
    if argv:
        raise UsageError(f"language_census takes no arguments, but was given {' '.join(argv)}")
    return census(archive.table("head_blobs"), archive.table("files"))
