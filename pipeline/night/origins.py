"""The ``origins`` table: adds origins, and applies visits to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from itertools import islice

import pyarrow as pa
from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.origin import Origin, OriginState, bucket_of
from pipeline.model.signal import SignalCounts, SignalKind, sum_signals
from pipeline.model.tables import ORIGINS, VISITS
from pipeline.model.visit import VisitStatus
from pipeline.night.counts import counted
from pipeline.night.signals import MEASURED, by_signals, measured, right_and_wrong, told_of
from pipeline.rules.networks import placed
from pipeline.rules.origins import FAILURES_THAT_MATTER, rules
from pipeline.tables.change import RowChange, change_rows
from pipeline.tables.conflicts import Seen, nothing, overwrite, until_committed
from pipeline.tables.doubles import one_row_a_url
from pipeline.tables.frames import local_frame, read_parquet, url_frame
from pipeline.tables.iceberg import LOAD_PROPERTY, IcebergTable, in_buckets
from pipeline.tables.tombstones import taken_down
from pipeline.tables.writer import Writer, unleased

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


MOST_ADDED = 50_000
"""Origins that are added in one commit."""

_OF_A_VISIT = ("started_at", "night", "status", "error", "objects", "newest_commit", "commit_days")

_APPLIED = "pipeline.buckets"
"""The buckets whose visits a commit applied, with commas between them."""

_SIGNALS = "pipeline.signals"
"""What these visits say about signals, in JSON: in the commit that applies them, so they count once."""

_COUNTS = TypeAdapter(dict[SignalKind, SignalCounts])


def apply_visits(
    writer: Writer,
    visits: Sequence[str],
    buckets: Collection[int],
    load: Load,
    could: DataFrame | None = None,
) -> None:
    """Set last visit, failures, state and next date of every origin that a load visited.

    Their rows are replaced, and only theirs, in one commit that names the load and the buckets. Deferred visits change
    nothing: the origin stays due, and its refs known.
    Buckets that such a commit names already stay as they are, so a second call changes nothing, however late it comes.

    Args:
        visits: URIs of the load's ``visits`` files.
        buckets: the buckets of these files.
        could: which signals could have told of changes, from ``could_tell``; None: not measured.
    """

    def attempt() -> None:
        seen = writer.see(ORIGINS.name)
        left = set(buckets) - _applied(seen.iceberg, load, buckets)
        if not left:
            return
        origins = one_row_a_url(seen.rows().where(in_buckets(left)), "bucket")
        made = read_parquet(writer.spark, VISITS, visits).where(in_buckets(left))
        made = made.where(F.col("status") != str(VisitStatus.DEFERRED))
        visited = made.select("bucket", F.col("origin").alias("url")).distinct()
        after = origins_after(writer.spark, origins.join(visited, ["bucket", "url"], "left_semi"), made).persist()
        try:
            groups = by_signals(after)
            count = sum(row["count"] for row in groups)
            told = {} if could is None else told_of(writer.spark, load, after.select("url", *MEASURED), could)
            signals = sum_signals([right_and_wrong(groups), told])
            rows = after.select(*ORIGINS.column_names)
            change = RowChange(rows, count, after.select("bucket", "url"), count, left)
            kept = {_APPLIED: ",".join(map(str, sorted(left))), _SIGNALS: _COUNTS.dump_json(signals).decode()}
            change_rows(seen, change, {LOAD_PROPERTY: load.name, **kept})
        finally:
            writer.spark.catalog.clearCache()  # unpersist() finds nothing after a commit to the table that it reads

    until_committed(ORIGINS.name, attempt)


def _applied(table: IcebergTable, load: Load, buckets: Collection[int]) -> set[int]:
    """Those of some buckets to which a commit has applied the load; one of an earlier version has applied all."""
    applied: set[int] = set()
    for snapshot in table.snapshots_with(LOAD_PROPERTY, load.name):
        named = snapshot.summary.get(_APPLIED)
        applied |= set(buckets) if named is None else set(map(int, named.split(",")))
    return applied


def applied_signals(writer: Writer, load: Load) -> dict[SignalKind, SignalCounts]:
    """What the visits of a load that were applied say about signals."""
    snapshots = writer.table(ORIGINS.name).snapshots_with(LOAD_PROPERTY, load.name)
    return sum_signals(_COUNTS.validate_json(snapshot.summary.get(_SIGNALS, "{}")) for snapshot in snapshots)


def origins_after(spark: SparkSession, origins: DataFrame, visits: DataFrame) -> DataFrame:
    """All given origins after the visits, with its columns and those of ``measured``; the last visit of each counts.

    The visits belong to the load that is being published, so they count whatever an earlier load's clock showed.
    """
    rule = F.broadcast(local_frame(spark, [astuple(rule) for rule in rules()], _RULE_SCHEMA))
    last = visits.groupBy(F.col("bucket"), F.col("origin").alias("url")).agg(
        F.max_by(F.struct(*_OF_A_VISIT), "started_at").alias("visit")
    )
    failures = F.coalesce("failures", F.lit(0))
    joined = (
        origins.join(last, ["bucket", "url"], "left")
        .withColumn("status", F.col("visit.status"))
        .withColumn("counted", F.least(failures, F.lit(FAILURES_THAT_MATTER)))
        .withColumn("was_not_found", F.coalesce(F.col("last_status") == "not_found", F.lit(False)))
        .join(rule, ["state", "counted", "was_not_found", "status"], "left")
    )
    visited = F.col("visit").isNotNull() & ~F.col("last_visit").eqNullSafe(F.col("visit.started_at"))
    asked_since = F.coalesce(F.col("asked_at") > F.col("visit.started_at"), F.lit(False))
    changes = {
        **counted(failures),
        "state": F.col("new_state"),
        "next_due": F.when(asked_since, F.lit(None)).otherwise(F.date_add(F.col("visit.night"), F.col("wait_days"))),
        "last_visit": F.col("visit.started_at"),
        "last_status": F.col("visit.status"),
        "last_error": F.col("visit.error"),
        "failures": F.when(F.col("ok"), F.lit(0)).otherwise(failures + 1),
    }
    before = measured(visited, F.col("visit.started_at"), F.col("visit.status"), failures)
    return joined.select(
        *(
            F.when(visited, changes[name]).otherwise(F.col(name)).alias(name) if name in changes else name
            for name in ORIGINS.column_names
        ),
        *(before[name].alias(name) for name in MEASURED),
    )


def add_origins(spark: SparkSession, origins: Iterable[Origin], buckets: int, added_at: datetime) -> int:
    """Add origins that are not in the table yet, due at once; a known URL keeps its network even if its fork changed.

    Forks beyond a number go to further parts of their network (decision 40), never to one that was taken down.

    Needs no lease, and writes only the added rows, in one commit per ``MOST_ADDED`` origins. If others add rows after
    the known URLs were read, they are read again, so that each URL is in the table once.

    Args:
        buckets: number of buckets of the archive.
        added_at: with time zone.

    Returns:
        How many were new.
    """
    rest, added = iter(origins), 0
    while some := {origin.url: origin for origin in islice(rest, MOST_ADDED)}:
        added += _add_some(spark, some, buckets, added_at)
    return added


def _add_some(spark: SparkSession, origins: Mapping[str, Origin], buckets: int, added_at: datetime) -> int:
    wanted = url_frame(spark, origins)
    empty, uncounted = (None,) * 4, (None,) * 7  # next_due and the last visit; what visits counted
    undated = (None, 0)
    _, closed = taken_down(spark)

    def attempt() -> int:
        seen = unleased(spark).see(ORIGINS.name)
        found = seen.rows().join(F.broadcast(wanted), "url", "left_semi").select("url").collect()
        known = {row["url"] for row in found}
        new = [origin for url, origin in origins.items() if url not in known]
        rows = [
            (
                bucket_of(network, buckets),
                network,
                o.url,
                o.fork_of,
                str(OriginState.ACTIVE),
                added_at,
                *empty,
                0,
                *uncounted,
                *undated,
            )
            for o, network in placed(new, forks_of(seen, new), closed)
        ]
        if rows:
            overwrite(local_frame(spark, rows, ORIGINS.arrow_schema), seen, nothing())
        return len(rows)

    return until_committed(ORIGINS.name, attempt)


def forks_of(seen: Seen, origins: Iterable[Origin]) -> dict[str, int]:
    """By root of the given forks, how many forks of it there are already."""
    roots = sorted({origin.fork_of for origin in origins if origin.fork_of is not None})
    if not roots:
        return {}
    wanted = F.broadcast(url_frame(seen.spark, roots).withColumnRenamed("url", "fork_of"))
    found = seen.rows().join(wanted, "fork_of", "left_semi").groupBy("fork_of").count().collect()
    return {row["fork_of"]: row["count"] for row in found}
