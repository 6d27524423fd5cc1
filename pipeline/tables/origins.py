"""The ``origins`` table: adding origins, and what visits do to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import astuple
from datetime import datetime

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.origin import Origin, OriginState, bucket_of
from pipeline.model.tables import ORIGINS, VISITS
from pipeline.plan.origins import FAILURES_THAT_MATTER, rules
from pipeline.tables.frames import local_frame, read_parquet
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets, replace_where

_RULE_SCHEMA = pa.schema(
    [
        ("state", pa.string()),
        ("counted", pa.int32()),
        ("was_not_found", pa.bool_()),
        ("status", pa.string()),
        ("new_state", pa.string()),
        ("wait_days", pa.int32()),
        ("ok", pa.bool_()),
    ]
)

_URLS = pa.schema([("url", pa.string())])


def apply_visits(
    spark: SparkSession, visits: Sequence[str], buckets: Collection[int], load: Load, check_lease: Callable[[], None]
) -> None:
    """Set last visit, failures, state and next date of every origin that a load visited.

    The touched buckets of ``origins``, a small table, are rewritten in one commit. Rows whose last visit is not older
    than the load's stay as they are, so a second call changes nothing.

    Args:
        visits: URIs of the load's ``visits`` files.
        buckets: the buckets that they are in.
        check_lease: called before the commit.
    """
    origins = spark.table(full_name(ORIGINS.name)).where(in_buckets(buckets))
    after = origins_after(spark, origins, read_parquet(spark, VISITS, visits))
    check_lease()
    replace_where(after, full_name(ORIGINS.name), in_buckets(buckets), {LOAD_PROPERTY: load.name})


def origins_after(spark: SparkSession, origins: DataFrame, visits: DataFrame) -> DataFrame:
    """All given origins as they are after the visits, the last of each origin counting; columns of ``origins``."""
    rule = F.broadcast(local_frame(spark, [astuple(rule) for rule in rules()], _RULE_SCHEMA))
    last = visits.groupBy(F.col("bucket"), F.col("origin").alias("url")).agg(
        F.max_by(F.struct("started_at", "night", "status", "error"), "started_at").alias("visit")
    )
    failures = F.coalesce("failures", F.lit(0))
    joined = (
        origins.join(F.broadcast(last), ["bucket", "url"], "left")
        .withColumn("status", F.col("visit.status"))
        .withColumn("counted", F.least(failures, F.lit(FAILURES_THAT_MATTER)))
        .withColumn("was_not_found", F.coalesce(F.col("last_status") == "not_found", F.lit(False)))
        .join(rule, ["state", "counted", "was_not_found", "status"], "left")
    )
    newer = F.col("last_visit").isNull() | (F.col("last_visit") < F.col("visit.started_at"))
    visited = F.col("visit").isNotNull() & newer
    changes = {
        "state": F.col("new_state"),
        "next_due": F.date_add(F.col("visit.night"), F.col("wait_days")),
        "last_visit": F.col("visit.started_at"),
        "last_status": F.col("visit.status"),
        "last_error": F.col("visit.error"),
        "failures": F.when(F.col("ok"), F.lit(0)).otherwise(failures + 1),
    }
    return joined.select(
        *(
            F.when(visited, changes[name]).otherwise(F.col(name)).alias(name) if name in changes else name
            for name in ORIGINS.column_names
        )
    )


def add_origins(spark: SparkSession, origins: Iterable[Origin], buckets: int, added_at: datetime) -> int:
    """Add origins that are not there yet, due at once; a known URL keeps its network whatever it is now a fork of.

    Args:
        buckets: number of buckets of the archive.
        added_at: with time zone.

    Returns:
        How many were new.
    """
    empty = (None,) * 4  # next_due and the last visit
    rows = {
        o.url: (
            bucket_of(o.network, buckets),
            o.network,
            o.url,
            o.fork_of,
            str(OriginState.ACTIVE),
            added_at,
            *empty,
            0,
        )
        for o in origins
    }
    wanted = local_frame(spark, [(url,) for url in rows], _URLS)
    table = spark.table(full_name(ORIGINS.name))
    for known in table.join(F.broadcast(wanted), "url", "left_semi").select("url").collect():
        del rows[known["url"]]
    if rows:
        new = local_frame(spark, list(rows.values()), ORIGINS.arrow_schema)
        new.writeTo(full_name(ORIGINS.name)).append()
    return len(rows)
