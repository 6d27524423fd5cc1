"""Signals from files of events: origins that they say to have changed. Rows stay in Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.listing import LISTINGS, PAGE, Merged
from pipeline.model.signal import SignalKind
from pipeline.night.listings import both_names
from pipeline.night.standing import signal_listed
from pipeline.tables.conflicts import see
from pipeline.tables.frames import read_parquet
from pipeline.tables.iceberg import table_exists
from pipeline.tables.writer import Writer

SLACK = timedelta(minutes=5)
"""An event's time is that of a push; only clocks may be wrong."""


def merge_events(writer: Writer, pages: Sequence[str], ids_of: str | None, now: datetime) -> Merged:
    """Tell that origins changed, in one commit. May be called again after a kill at any point; then less is new.

    An origin is named by its path on the forge, or, if it has another name by now, by its id. Names that are no
    origin's say nothing.

    Args:
        pages: URIs of page files.
        ids_of: the forge whose ids in ``listings`` the pages have; None for another one.
        now: with time zone.
    """
    named = (
        read_parquet(writer.spark, PAGE, pages).groupBy("forge_id", "url").agg(F.max("changed_at").alias("changed_at"))
    )
    try:
        named = named.persist()
        listed = named.count()
        changed = named.select("url", "changed_at")
        if ids_of is not None and table_exists(writer.spark, LISTINGS.name):
            changed = changed.unionByName(_by_id(writer, named, ids_of))
        changed = changed.groupBy("url").agg(F.max("changed_at").alias("changed_at"))
        changed = changed.select(
            F.explode(F.array(*both_names("url"))).alias("url"),
            "changed_at",
            F.lit(str(SignalKind.EVENT)).alias("kind"),
            F.lit(False).alias("late"),
        )
        signalled = signal_listed(writer, changed, now, SLACK)
    finally:
        writer.spark.catalog.clearCache()  # unpersist() finds nothing after a commit to a table that it reads
    return Merged(listed=listed, new=0, moved=0, refused={}, origins=0, signalled=signalled)


def _by_id(writer: Writer, named: DataFrame, forge: str) -> DataFrame:
    """The names under which a forge listed them last."""
    listings = see(writer.spark, LISTINGS.name).rows().where(F.col("forge") == forge)
    ids = named.where("forge_id <> ''").groupBy("forge_id").agg(F.max("changed_at").alias("at"))
    return listings.select("forge_id", "url").join(ids, "forge_id").select("url", F.col("at").alias("changed_at"))
