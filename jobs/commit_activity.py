"""Commits and authors by week and time zone.

A commit of several networks counts once. Weeks are those of the author's own calendar. Result, one row per week and
offset:

=======  ======  ==============================================================================================
week     date    Monday of the week in which the author wrote the commit, null where git's number is no date
offset   int     minutes east of UTC as written, null if that is a day or more; its weeks are those of UTC
commits  bigint  distinct commits
authors  bigint  distinct e-mail addresses of their authors, compared without regard to case
=======  ======  ==============================================================================================
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.read.archive import Archive

READS = ["commits"]

DAY_S = 24 * 60 * 60
DAY_MINUTES = 24 * 60


def activity(commits: DataFrame) -> DataFrame:
    """Count commits and authors.

    Args:
        commits: the table of this name; oid, author_email, author_time and author_offset are read.
    """
    offset = F.when(F.abs(F.col("author_offset").cast("bigint")) < DAY_MINUTES, F.col("author_offset"))
    local_s = F.unix_seconds("author_time") + F.coalesce(offset, F.lit(0)) * 60
    day = F.date_from_unix_date(F.floor(local_s / DAY_S).cast("int"))
    week = F.date_sub(day, F.weekday(day))
    return (
        commits.dropDuplicates(["oid"])
        .select(
            F.when(F.year(week).between(1, 9999), week).alias("week"),
            offset.alias("offset"),
            F.lower("author_email").alias("email"),
        )
        .groupBy("week", "offset")
        .agg(F.count("*").alias("commits"), F.countDistinct("email").alias("authors"))
        .orderBy("week", "offset")
    )


def main(archive: Archive) -> DataFrame:
    """Count the commits of the archive's night."""
    return activity(archive.table("commits"))
