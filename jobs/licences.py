"""Licences of repositories, by the texts of their licence files at HEAD.

A repository may have several. Those whose files were last looked at by an earlier version, which knew no licences, do
not count until their network changes. Result, one row per licence (null: no licence text is recognised in the root
folder):

============  ======  ========================================================================================
spdx_id       string  id in the SPDX list, as in ``licences``; texts of the GPL do not tell -only from -or-later
repositories  bigint  origins with such a text in their root folder, forks among them
anywhere      bigint  origins with such a text in any folder, null in the row of null
files         bigint  paths of such texts, null in the row of null
============  ======  ========================================================================================
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.read.archive import Archive

READS = ["head_blobs", "licences", "repositories"]

_NETWORK = ["bucket", "network"]


def count(licences: DataFrame, repositories: DataFrame, head_blobs: DataFrame) -> DataFrame:
    """Count repositories by licence.

    Args:
        licences: what has this name in SQL; origin, path and spdx_id are read.
        repositories: the table of this name; bucket, network and origin are read.
        head_blobs: what has this name in SQL; bucket, network and is_generated are read.
    """
    found = licences.select("origin", "spdx_id", (~F.contains("path", F.lit("/"))).alias("in_root"))
    known = found.groupBy("spdx_id").agg(
        F.countDistinct(F.when(F.col("in_root"), F.col("origin"))).alias("repositories"),
        F.countDistinct("origin").alias("anywhere"),
        F.count("*").alias("files"),
    )
    looked_at = head_blobs.where("is_generated IS NOT NULL").select(*_NETWORK).distinct()
    others = (
        repositories.join(looked_at, _NETWORK, "left_semi")
        .select("origin")
        .join(found.where("in_root"), "origin", "left_anti")
    )
    nothing = F.lit(None)
    unknown = others.agg(F.countDistinct("origin").alias("repositories")).select(
        nothing.cast("string").alias("spdx_id"),
        "repositories",
        nothing.cast("bigint").alias("anywhere"),
        nothing.cast("bigint").alias("files"),
    )
    return known.unionByName(unknown).orderBy(F.col("repositories").desc(), "spdx_id")


def main(archive: Archive) -> DataFrame:
    """Count the licences of the archive's night."""
    return count(archive.table("licences"), archive.table("repositories"), archive.table("head_blobs"))
