"""What visits say about the signals before them: which were right, and which changes came without one.

A visit counts if it and the one before ended well, so that it says whether the origin changed in between. A kind of
signal could have told of a change if its forge listed the origin, with what such signals are made of, before that time,
and has looked at it since; files of events, if they have names of that place and have been read since.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.listing import LISTINGS
from pipeline.model.signal import SignalCounts, SignalKind, SignalSource, sum_signals
from pipeline.model.tables import VISITS
from pipeline.model.visit import ENDED_WELL, VisitStatus
from pipeline.night.listings import both_names, kind_of_time
from pipeline.rules.signal_nights import measures_listings
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.frames import read_parquet
from pipeline.tables.iceberg import RECORDS, IcebergTable, full_name, table_exists
from pipeline.tables.session import WAREHOUSE_SETTING

log = logging.getLogger(__name__)

MEASURED = ("told_kinds", "found_change", "known_at")
"""Columns of ``measured``."""


def measured(visited: Column, started_at: Column, status: Column, failures: Column) -> dict[str, Column]:
    """Of a row of ``origins`` before a visit: what signals are counted by.

    ``told_kinds``: of the signals before the visit; ``found_change``: whether it found one, null if it does not count;
    ``known_at``: the visit before.

    Args:
        visited: whether there is a visit; the others are of it, and the failures before it.
    """
    told = F.coalesce(F.col("signalled_at") <= started_at, F.lit(False))
    well = status.isin(*ENDED_WELL)
    # An earlier version did not keep the kinds.
    counts = visited & well & F.col("last_visit").isNotNull() & (failures == 0) & ~(told & F.col("signals").isNull())
    return {
        "told_kinds": F.when(told, F.col("signals")).otherwise(F.array().cast("array<string>")),
        "found_change": F.when(counts, status != str(VisitStatus.UNCHANGED)),
        "known_at": F.col("last_visit"),
    }


def by_signals(after: DataFrame) -> list[Row]:
    """How many rows there are: ``told_kinds``, ``found_change``, ``count``, in one job.

    Args:
        after: the columns of ``measured``.
    """
    return after.groupBy("told_kinds", "found_change").count().collect()


def right_and_wrong(groups: Iterable[Row]) -> dict[SignalKind, SignalCounts]:
    """Signals by whether the visit after them found a change; of what ``by_signals`` returns."""
    return sum_signals(
        {kind: SignalCounts(**{"right" if row["found_change"] else "wrong": row["count"]})}
        for row in groups
        if row["found_change"] is not None
        for kind in SignalKind
        if kind in row["told_kinds"]
    )


def could_tell(
    spark: SparkSession, load: Load, visits: Sequence[str], sources: Sequence[SignalSource]
) -> DataFrame | None:
    """Which kinds of signals could have told of the changes that a load's visits found, if that is measured tonight.

    Executors keep the rows, at most a few per visit. Reads ``listings``, so it may take long: call it once per load,
    before the look at ``origins`` that a commit of others makes worthless.

    Args:
        visits: URIs of the load's ``visits`` files.

    Returns:
        ``url``, ``kind``, ``since`` (null: ever) and ``until``: a change could be told of if the visit before was
        between them. None if nothing is measured, also because something could not be read.
    """
    with _spared(spark, load):
        events = [source for source in sources if source.below is not None and source.looked_at is not None]
        listed = [source for source in sources if source.below is None]
        if listed and not _measures_listings(spark, load):
            listed = []
        if not visits or not (events or listed):
            return None
        found = F.col("status").isin(*ENDED_WELL) & (F.col("status") != str(VisitStatus.UNCHANGED))
        changes = read_parquet(spark, VISITS, visits).where(found).select(F.col("origin").alias("url")).distinct()
        if changes.isEmpty():
            return None
        parts = [_named(changes, source) for source in events]
        if listed:
            parts.append(_listed(spark, changes, listed))
        # Unlike what persist() keeps, it outlives the clearCache() of each attempt to commit.
        return reduce(DataFrame.unionByName, parts).localCheckpoint()
    return None


def told_of(spark: SparkSession, load: Load, after: DataFrame, could: DataFrame) -> dict[SignalKind, SignalCounts]:
    """Changes of which a kind of signal could have told, and those of which it did; empty if Spark fails.

    Args:
        after: ``url`` and the columns of ``measured``.
        could: what ``could_tell`` returns.
    """
    with _spared(spark, load):
        since = F.coalesce(F.col("since") <= F.col("known_at"), F.lit(True))
        changes = after.where("found_change").join(could, "url").where(since & (F.col("until") > F.col("known_at")))
        did = F.array_contains("told_kinds", F.col("kind"))
        found = changes.dropDuplicates(["url", "kind"]).groupBy("kind")
        rows = found.agg(F.count("*").alias("changes"), F.count_if(did).alias("told")).collect()
        return {SignalKind(row["kind"]): SignalCounts(changes=row["changes"], told=row["told"]) for row in rows}
    return {}


@contextmanager
def _spared(spark: SparkSession, load: Load) -> Iterator[None]:
    """Leave out what the block counts if it fails: figures hold up no visits."""
    try:
        with plain_failures(str(spark.conf.get(WAREHOUSE_SETTING))):
            yield
    except (StoredFileDamaged, StorageUnavailable, SparkFailed) as error:
        log.warning(
            "load %s: of how many changes signals told is not counted; nothing else is missing. Mend it if later "
            "nights say so, too: %s",
            load.name,
            error,
        )


def _measures_listings(spark: SparkSession, load: Load) -> bool:
    """Whether a load reads ``listings``: none of a backfill does, as most of its visits are first ones."""
    if load.batch_number is not None or not table_exists(spark, LISTINGS.name):
        return False
    current = IcebergTable(spark, LISTINGS.name).current()
    return current is not None and measures_listings(int(current.summary.get(RECORDS) or 0), load.night)


def _named(changes: DataFrame, source: SignalSource) -> DataFrame:
    """The changes that a forge's files of events could have named."""
    return changes.where(F.startswith("url", F.lit(source.below))).select(
        "url",
        F.lit(str(SignalKind.EVENT)).alias("kind"),
        F.lit(None).cast("timestamp").alias("since"),
        F.lit(source.looked_at).cast("timestamp").alias("until"),
    )


def _listed(spark: SparkSession, changes: DataFrame, sources: Sequence[SignalSource]) -> DataFrame:
    listings = spark.table(full_name(LISTINGS.name)).where("refused IS NULL AND gone_at IS NULL")
    for column in {"fingerprint", "head"}.difference(listings.columns):  # no merge of this version yet
        listings = listings.withColumn(column, F.lit(None))
    name, _ = both_names("url")
    rows = reduce(DataFrame.unionByName, (_shown(listings, source, name) for source in sources))
    return rows.join(changes.withColumn("name", name), "name").drop("name")


def _shown(listings: DataFrame, source: SignalSource, name: Column) -> DataFrame:
    """What a forge lists, once with each ``kind`` of signal that it gives, by the rule of ``listings``."""
    time = kind_of_time(F.lit(source.by_commits) | F.coalesce("mirror", F.lit(False)))
    kinds = (F.when(F.col("changed_at").isNotNull(), time), F.when(F.col("head").isNotNull(), str(SignalKind.HEAD)))
    by_fingerprint = F.when(F.col("fingerprint").isNotNull(), F.array(F.lit(str(SignalKind.FINGERPRINT))))
    return listings.where(F.col("forge") == source.forge).select(
        name.alias("name"),
        F.explode(F.coalesce(by_fingerprint, F.array_compact(F.array(*kinds)))).alias("kind"),
        F.col("first_seen").alias("since"),
        F.greatest("last_seen", F.lit(source.looked_at).cast("timestamp")).alias("until"),
    )
