"""Which licences hold for a file at HEAD: those in its folder, or in the nearest one above that has any."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

MOST_FOLDERS = 1_000
"""Folders with licences that an origin may have; its files are compared with each, so beyond it nothing is said."""

_ORIGIN = ["bucket", "origin"]


def with_licences(files: DataFrame, licences: DataFrame, name: str) -> DataFrame:
    """Files with another column: the sorted SPDX ids, none where no licence was recognised, null where it is unknown.

    Args:
        files: bucket, origin, path and others; all files of an origin whose licences hold.
        licences: the table of this name.
        name: what the column is called.
    """
    folder = F.regexp_extract("path", "^(.*/)?", 0).alias("folder")
    folders = licences.groupBy(*_ORIGIN, folder).agg(F.sort_array(F.collect_set("spdx_id")).alias("ids"))
    first = Window.partitionBy(*_ORIGIN).orderBy("folder")
    few = folders.withColumn("rank", F.row_number().over(first)).where(F.col("rank") <= MOST_FOLDERS + 1)
    deepest_first = F.struct((-F.length("folder")).alias("depth"), "folder", "ids")
    origins = few.groupBy(*_ORIGIN).agg(F.sort_array(F.collect_list(deepest_first)).alias("folders"))
    above = F.filter("folders", lambda each: F.startswith(F.col("path"), each.folder))
    ids = F.coalesce(F.get(above, 0).getField("ids"), F.array().cast("array<string>"))
    known = F.size(F.coalesce("folders", F.array())) <= MOST_FOLDERS
    return files.join(origins, _ORIGIN, "left").withColumn(name, F.when(known, ids)).drop("folders")


def only(name: str, spdx_ids: tuple[str, ...]) -> Column:
    """Whether a file has licences, and none but these, in lower case."""
    return (F.size(name) > 0) & F.forall(name, lambda each: F.lower(each).isin(list(spdx_ids)))
