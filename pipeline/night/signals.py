"""What visits say about the signals before them: which were right, and which changes came without one.

A visit counts if it and the one before ended well, so that it says whether the origin changed in between. A kind of
signal could have told of a change if its forge listed the origin, with what such signals are made of, before that time,
and has looked at it since; files of events, if they have names of that place and have been read since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.listing import LISTINGS
from pipeline.model.signal import SignalCounts, SignalKind, SignalSource
from pipeline.model.visit import VisitStatus
from pipeline.night.listings import both_names, kind_of_time
from pipeline.tables.iceberg import full_name, table_exists

MEASURED = ("told_kinds", "found_change", "known_at")
"""Columns of ``measured``."""


def measured(visited: Column, started_at: Column, status: Column, failures: Column) -> dict[str, Column]:
    """Of a row of ``origins`` before a visit: what ``count_signals`` needs.

    ``told_kinds``: of the signals before the visit; ``found_change``: whether it found one, null if it does not count;
    ``known_at``: the visit before.

    Args:
        visited: whether there is a visit; the others are of it, and the failures before it.
    """
    told = F.coalesce(F.col("signalled_at") <= started_at, F.lit(False))
    well = status.isin([str(each) for each in VisitStatus if each.ok])
    # An earlier version did not keep the kinds.
    counts = visited & well & F.col("last_visit").isNotNull() & (failures == 0) & ~(told & F.col("signals").isNull())
    return {
        "told_kinds": F.when(told, F.col("signals")).otherwise(F.array().cast("array<string>")),
        "found_change": F.when(counts, status != str(VisitStatus.UNCHANGED)),
        "known_at": F.col("last_visit"),
    }


def count_signals(
    spark: SparkSession, visits: DataFrame, sources: Sequence[SignalSource]
) -> dict[SignalKind, SignalCounts]:
    """Count the signals before visits, and the changes of which one could have told.

    Args:
        visits: ``url`` and the columns of ``measured``.
    """
    visits = visits.where("found_change IS NOT NULL")
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    told = visits.select(F.explode("told_kinds").alias("kind"), "found_change")
    for row in told.groupBy("kind", "found_change").count().collect():
        counts[row["kind"]]["right" if row["found_change"] else "wrong"] = row["count"]
    changes = visits.where("found_change")
    could = None if changes.isEmpty() else _could_tell(spark, changes, sources)
    if could is not None:
        did = F.array_contains("told_kinds", F.col("kind"))
        found = could.groupBy("kind").agg(F.count("*").alias("changes"), F.count_if(did).alias("told"))
        for row in found.collect():
            counts[row["kind"]] |= {"changes": row["changes"], "told": row["told"]}
    return {kind: SignalCounts(**counts[kind]) for kind in SignalKind if kind in counts}


def _could_tell(spark: SparkSession, changes: DataFrame, sources: Sequence[SignalSource]) -> DataFrame | None:
    """The changes with each ``kind`` of signal that could have told of them, once; None if there are no such kinds."""
    found = [
        changes.where(F.startswith("url", F.lit(source.below)) & (F.lit(source.looked_at) > F.col("known_at")))
        .withColumn("kind", F.lit(str(SignalKind.EVENT)))
        for source in sources
        if source.below is not None and source.looked_at is not None
    ]  # fmt: skip
    listed = [source for source in sources if source.below is None]
    if listed and table_exists(spark, LISTINGS.name):
        found.append(_listed(spark, changes, listed))
    return reduce(DataFrame.unionByName, found).dropDuplicates(["url", "kind"]) if found else None


def _listed(spark: SparkSession, changes: DataFrame, sources: Sequence[SignalSource]) -> DataFrame:
    listings = spark.table(full_name(LISTINGS.name)).where("refused IS NULL AND gone_at IS NULL")
    for column in {"fingerprint", "head"}.difference(listings.columns):  # no merge of this version yet
        listings = listings.withColumn(column, F.lit(None))
    name, _ = both_names("url")
    rows = reduce(DataFrame.unionByName, (_shown(listings, source, name) for source in sources))
    looked = F.greatest("last_seen", "looked_at") > F.col("known_at")
    before = F.col("first_seen") <= F.col("known_at")
    return rows.join(changes.withColumn("name", name), "name").where(looked & before).select(*changes.columns, "kind")


def _shown(listings: DataFrame, source: SignalSource, name: Column) -> DataFrame:
    """What a forge lists, once with each ``kind`` of signal that it gives, by the rule of ``listings``."""
    time = kind_of_time(F.lit(source.by_commits) | F.coalesce("mirror", F.lit(False)))
    kinds = (F.when(F.col("changed_at").isNotNull(), time), F.when(F.col("head").isNotNull(), str(SignalKind.HEAD)))
    by_fingerprint = F.when(F.col("fingerprint").isNotNull(), F.array(F.lit(str(SignalKind.FINGERPRINT))))
    return listings.where(F.col("forge") == source.forge).select(
        name.alias("name"),
        F.explode(F.coalesce(by_fingerprint, F.array_compact(F.array(*kinds)))).alias("kind"),
        "first_seen",
        "last_seen",
        F.lit(source.looked_at).cast("timestamp").alias("looked_at"),
    )
