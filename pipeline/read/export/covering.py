"""Which licences hold for a file at HEAD: those in its folder, or in the nearest one above that has any."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

MOST_FOLDERS = 1_000
MOST_CHARACTERS = 100_000
"""Folders with licences that an origin may have, and how long they and their SPDX ids may be together: each of its
files is compared with all of them, so beyond that nothing is said.
"""

NOT_KNOWN = "NOASSERTION"
"""SPDX's word for a licence file of which nobody knows what it says."""

_ORIGIN = ["bucket", "origin"]


def with_licences(files: DataFrame, licences: DataFrame, name: str) -> DataFrame:
    """Files with another column: the sorted SPDX ids, none where no licence was recognised, null where it is unknown.

    Args:
        files: bucket, origin, path and others.
        licences: bucket, origin, path and spdx_id of licence files, recognised or ``NOT_KNOWN``.
        name: what the column is called.
    """
    folder = F.regexp_extract("path", "(?s)^(.*/)?", 0).alias("folder")
    folders = licences.groupBy(*_ORIGIN, folder).agg(F.sort_array(F.collect_set("spdx_id")).alias("ids"))
    first = Window.partitionBy(*_ORIGIN).orderBy("folder")
    few = folders.withColumn("rank", F.row_number().over(first)).where(F.col("rank") <= MOST_FOLDERS + 1)
    length = F.sum(F.length("folder") + F.length(F.concat_ws("", "ids"))).alias("length")
    deepest_first = F.struct((-F.length("folder")).alias("depth"), "folder", "ids")
    origins = few.groupBy(*_ORIGIN).agg(F.sort_array(F.collect_list(deepest_first)).alias("found"), length)
    known = (F.size("found") <= MOST_FOLDERS) & (F.col("length") <= MOST_CHARACTERS)
    origins = origins.select(*_ORIGIN, known.alias("known"), F.when(known, F.col("found")).alias("folders"))
    above = F.filter("folders", lambda each: F.startswith(F.col("path"), each.folder))
    ids = F.coalesce(F.get(above, 0).getField("ids"), F.array().cast("array<string>"))
    answer = F.when(F.coalesce("known", F.lit(True)), ids)
    return files.join(origins, _ORIGIN, "left").withColumn(name, answer).drop("known", "folders")


def only(name: str, spdx_ids: tuple[str, ...]) -> Column:
    """Whether a file has licences, and none but these, in lower case."""
    return (F.size(name) > 0) & F.forall(name, lambda each: F.lower(each).isin(list(spdx_ids)))
