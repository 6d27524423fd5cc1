"""Plan: which origins a load looks at, and what is known about them, in one plan folder per bucket."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipeline.model.errors import PipelineError
from pipeline.model.layout import Load
from pipeline.model.night_summary import Unpromised
from pipeline.model.origin import OriginState
from pipeline.model.pattern import Pattern
from pipeline.model.tables import OBJECT_TABLES
from pipeline.model.visit import ENDED_WELL, VisitStatus
from pipeline.night.kept_out import write_kept_out
from pipeline.night.opt_outs import kept_out_now
from pipeline.night.schedule import Limits, choose_due
from pipeline.rules.origins import FARTHEST_DUE_DAYS, LOOKED_AT
from pipeline.rules.questions import question_parts
from pipeline.storage.documents import read_document
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.tables.damage import check_footers, damaged_file
from pipeline.tables.doubles import one_row_a_url
from pipeline.tables.frames import local_frame, url_frame
from pipeline.tables.iceberg import full_name, in_buckets
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.refs import current_refs, exact
from pipeline.tables.tombstones import current, tombstone_ids
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a load will look at; ``buckets`` maps each bucket with work to its number of due origins.

    ``damaged`` are files of the archive that cannot be read; the origins of their buckets are skipped. ``parts`` says
    into how many parts the questions of large buckets are cut; the others ask their own. ``unpromised`` are hosts that
    the greatest age is not promised to, at most ``MOST_NAMED``, those that take most first, of ``unpromised_hosts``.
    ``kept_out`` is for ``read_kept_out``: no visit follows a redirect to that.
    """

    origins_due: int
    buckets: dict[int, int]
    damaged: tuple[str, ...] = ()
    parts: dict[int, int] = field(default_factory=dict)
    unpromised: tuple[Unpromised, ...] = ()
    unpromised_hosts: int = 0
    kept_out: str = ""

    @classmethod
    def of(
        cls,
        counts: Mapping[int, _Counts],
        damaged: Iterable[str] = (),
        lost: Sequence[Unpromised] = (),
        kept_out: str = "",
    ) -> PlanSummary:
        """The summary of what was counted in each bucket."""
        due = {bucket: count.due for bucket, count in counts.items()}
        parts = question_parts({bucket: count.askable for bucket, count in counts.items()})
        return cls(
            sum(due.values()),
            due,
            tuple(sorted(damaged)),
            parts,
            tuple(lost[:MOST_NAMED]),
            len(lost),
            kept_out,
        )


class _Counts(NamedTuple):
    """Due origins of a bucket, and those of them whose last visit ended well: their refs are known."""

    due: int
    askable: int


MOST_NAMED = 1000
"""Hosts that a plan names because the greatest age is not promised to them."""

MOST_LOGGED = 10
"""The same in the log."""

_GROUP_BYTES = 1 << 20
_BUCKETS = pa.schema([("bucket", pa.int32())])


@dataclass(frozen=True, slots=True)
class LastVisit:
    """An origin in the table: its state, and how its last visit ended, None before the first."""

    state: OriginState
    status: VisitStatus | None


def last_visits(spark: SparkSession, urls: Collection[str]) -> dict[str, LastVisit]:
    """What the table has on these origins, by URL; unknown URLs are left out."""
    if not urls:
        return {}
    known = current(spark, "origins").join(F.broadcast(url_frame(spark, urls)), "url", "left_semi")
    return {
        row["url"]: LastVisit(
            OriginState(row["state"]), None if row["last_status"] is None else VisitStatus(row["last_status"])
        )
        for row in one_row_a_url(known).select("url", "state", "last_status").collect()
    }


def write_plan(
    writer: Writer,
    storage: Storage,
    load: Load,
    buckets: int,
    *,
    only: Collection[str] | None = None,
    limits: Limits | None = None,
) -> PlanSummary:
    """Write the plan of a load; a later attempt overwrites what an earlier one left.

    ``load.plan_origins/bucket=N`` gets every due origin, and the other origins of its network with ``due`` false, since
    their refs are common ground, sorted by network and url: url, fork_of, network, due, first_visit. ``first_visit`` is
    true unless the origin's last status is that of a successful visit. ``load.plan_refs/bucket=N`` gets the refs of the
    same origins, one per row, sorted by network, url and name: network, url, name, target, peeled, symref; exact bytes.
    An origin without refs has one row without a name. ``load.plan_files/bucket=N`` gets the live data files of the
    object tables: table, uri, rows, network_min, network_max (null if unknown). ``load.plan_tombstones/bucket=N`` gets
    the ids of objects that must not come back: network (null for all), oid. Empty folders are not created.
    ``load.plan`` is written last.

    An origin whose next date is later than any visit could have set is due: its last visit was dated wrongly. A bucket
    that cannot be fully read is skipped.

    Args:
        buckets: number of buckets of the archive.
        only: look at these URLs only, due or not; URLs that the table does not have, or people paused, are skipped.
            None for all that are due.
        limits: of all that are due, look at those that it allows only; what is left stays due.
    """
    spark = writer.spark
    writer.check_lease()
    for folder in (load.plan_origins, load.plan_refs, load.plan_files):
        storage.delete(folder, recursive=True)
    _forget_asked(storage, load)

    kept_out = kept_out_now(spark)
    chosen, unread, lost = due_origins(spark, storage, load, buckets, only=only, limits=limits)
    if limits is not None:
        _report_lost(load, limits, lost)

    def work(some: list[int]) -> dict[int, _Counts]:
        origins = chosen
        if len(some) < buckets:
            origins = origins.where(in_buckets(some))
        counts = _count(origins)
        if counts:
            check_footers(spark, storage, ["refs", "origins"], counts)
            wanted = _wanted(origins, counts)
            writer.check_lease()
            _write_refs(_plan_refs(spark, wanted, counts), storage.uri(load.plan_refs))
            writer.check_lease()
            _write_origins(_plan_origins(wanted), storage.uri(load.plan_origins))
        return counts

    planned = isolate_buckets(spark, storage, range(buckets), work)
    failed = unread | planned.failed
    for bucket, error in failed.items():
        log.error(
            "load %s: bucket %d is skipped, none of its origins is visited: %s",
            load.name,
            bucket,
            error,
            extra={"bucket": bucket},
        )
    counts = {bucket: count for part in planned.done for bucket, count in part.items()}
    if counts:
        writer.check_lease()
        _write(_plan_files(spark, counts), storage.uri(load.plan_files))
        writer.check_lease()
        plan_tombstones(spark, storage, load, counts)
    damaged = {damaged_file(storage, bucket, error) for bucket, error in failed.items()}
    writer.check_lease()
    written = write_kept_out(storage, load, kept_out)
    return _write_summary(storage, load, PlanSummary.of(counts, damaged, lost, written))


def _report_lost(load: Load, limits: Limits, lost: Sequence[Unpromised]) -> None:
    for each in lost[:MOST_LOGGED]:
        log.warning(
            "load %s: %s is not promised schedule.greatest_age_nights, %d: with its %s origins it would have to be %s. "
            "Give the night more, raise schedule.shares.oldest, or promise less",
            load.name,
            each.host or "no host",
            limits.greatest_age,
            f"{each.origins:,}",
            f"{each.nights:,.0f}",
        )
    if len(lost) > MOST_LOGGED:
        log.warning("load %s: %s further hosts are not promised it", load.name, f"{len(lost) - MOST_LOGGED:,}")


class DueOrigins(NamedTuple):
    """All origins as they are now, one row per URL, with ``due``: whether the load looks at them.

    ``unread`` says why some buckets cannot be read, as far as that was looked at; ``lost`` are the hosts that the
    greatest age is not promised to.
    """

    rows: DataFrame
    unread: dict[int, PipelineError]
    lost: Sequence[Unpromised]


def due_origins(
    spark: SparkSession,
    storage: Storage,
    load: Load,
    buckets: int,
    *,
    only: Collection[str] | None = None,
    limits: Limits | None = None,
) -> DueOrigins:
    """What the load looks at. Takes what ``write_plan`` takes."""
    all_due = _with_due(spark, load, None if only is None else url_frame(spark, only))
    return DueOrigins(all_due, {}, ()) if limits is None else _choose(spark, storage, all_due, load, limits, buckets)


def read_plan(storage: Storage, load: Load) -> PlanSummary:
    """The summary of a written plan.

    Raises:
        FileMissing: there is no plan yet.
        StoredFileDamaged: the summary cannot be read.
    """
    return read_document(storage, load.plan, _summary)


def _summary(data: bytes) -> PlanSummary:
    document = json.loads(data)
    counts = {int(bucket): int(due) for bucket, due in document["buckets"].items()}
    parts = {int(bucket): int(count) for bucket, count in document.get("parts", {}).items()}
    lost = tuple(map(Unpromised.model_validate, document.get("unpromised", ())))
    damaged = tuple(map(str, document.get("damaged", ())))
    lost_hosts, kept_out = int(document.get("unpromised_hosts", len(lost))), str(document.get("kept_out", ""))
    return PlanSummary(int(document["origins_due"]), counts, damaged, parts, lost, lost_hosts, kept_out)


def restore_plan_summary(storage: Storage, load: Load, kept_out: Iterable[Pattern] = ()) -> PlanSummary:
    """Rebuild a damaged summary from the rest of the plan, and what is kept out now."""
    counts = {}
    for folder in storage.list(load.plan_origins):
        bucket = folder.path.rpartition("/bucket=")[2]
        if bucket.isdecimal():
            counts[int(bucket)] = _counts(storage, folder.path)
    written = write_kept_out(storage, load, kept_out)
    return _write_summary(storage, load, PlanSummary.of(counts, kept_out=written))


def _counts(storage: Storage, folder: str) -> _Counts:
    """The due origins in a bucket's plan; 1 if it cannot be read, which its fetch task will report."""
    due = askable = 0
    try:
        for entry in storage.list(folder):
            if entry.path.endswith(".parquet"):
                with open_parquet_file(storage, entry.path) as file:
                    for batch in file.iter_batches(columns=["due", "first_visit"]):
                        first_visits = [row["first_visit"] for row in batch.to_pylist() if row["due"]]
                        due += len(first_visits)
                        askable += first_visits.count(False)
    except StoredFileDamaged:
        return _Counts(1, 0)
    return _Counts(due, askable)


def _write_summary(storage: Storage, load: Load, summary: PlanSummary) -> PlanSummary:
    document = {
        "load": load.name,
        "night": load.night.isoformat(),
        "origins_due": summary.origins_due,
        "buckets": {str(bucket): due for bucket, due in sorted(summary.buckets.items())},
        "damaged": summary.damaged,
        "parts": {str(bucket): count for bucket, count in sorted(summary.parts.items())},
        "unpromised": [each.model_dump() for each in summary.unpromised],
        "unpromised_hosts": summary.unpromised_hosts,
        "kept_out": summary.kept_out,
    }
    storage.replace(load.plan, json.dumps(document, indent=1).encode())
    return summary


def _with_due(spark: SparkSession, load: Load, only: DataFrame | None) -> DataFrame:
    """All origins, and whether the load looks at them."""
    table = one_row_a_url(current(spark, "origins"))
    table = table.withColumn("looked_at", F.col("state").isin([str(state) for state in LOOKED_AT]))
    if only is None:
        soonest, farthest = (F.lit(load.night + timedelta(days=days)) for days in (1, FARTHEST_DUE_DAYS))
        waited = F.coalesce(~F.col("next_due").between(soonest, farthest), F.lit(True))
        return table.withColumn("due", F.col("looked_at") & waited)
    listed = F.broadcast(only.withColumn("listed", F.lit(True)))
    return table.join(listed, "url", "left").withColumn("due", F.col("looked_at") & F.coalesce("listed", F.lit(False)))


def _choose(
    spark: SparkSession, storage: Storage, origins: DataFrame, load: Load, limits: Limits, buckets: int
) -> DueOrigins:
    """The rows with those due that the limits allow, as far as buckets can be read."""

    def touch(some: list[int]) -> list[int]:
        _count(origins.where(in_buckets(some)))
        return some

    read = isolate_buckets(spark, storage, range(buckets), touch)
    readable = [bucket for some in read.done for bucket in some]
    chosen = choose_due(origins.where(in_buckets(readable)), load.night, limits)
    return DueOrigins(chosen.rows, read.failed, chosen.lost)


def _count(origins: DataFrame) -> dict[int, _Counts]:
    known = F.count_if(_visited_well())
    rows = origins.where("due").groupBy("bucket").agg(F.count("*").alias("due"), known.alias("askable")).collect()
    return {row["bucket"]: _Counts(row["due"], row["askable"]) for row in rows}


def _visited_well() -> Column:
    """Whether an origin's last visit ended well; false before the first."""
    return F.coalesce(F.col("last_status").isin(*ENDED_WELL), F.lit(False))


def _wanted(origins: DataFrame, buckets: Collection[int]) -> DataFrame:
    network = Window.partitionBy("bucket", "network")
    return (
        origins.where(in_buckets(buckets))
        .select("bucket", "network", "url", "fork_of", "last_status", "due")
        .withColumn("wanted", F.max("due").over(network))
        .where("wanted")
    )


def _plan_origins(wanted: DataFrame) -> DataFrame:
    return wanted.select("bucket", "url", "fork_of", "network", "due", (~_visited_well()).alias("first_visit"))


def _plan_refs(spark: SparkSession, wanted: DataFrame, buckets: Collection[int]) -> DataFrame:
    refs = current_refs(spark.table(full_name("refs")).where(in_buckets(buckets))).select(
        "bucket",
        "network",
        F.col("origin").alias("url"),
        exact("name").alias("name"),
        "target",
        "peeled",
        F.when(F.col("symref").isNotNull(), exact("symref")).alias("symref"),
    )
    return wanted.select("bucket", "network", "url").join(refs, ["bucket", "network", "url"], "left")


def _plan_files(spark: SparkSession, buckets: Collection[int]) -> DataFrame:
    per_table = (
        spark.table(f"{full_name(table.name)}.files")
        .where("content = 0")
        .select(
            F.col("partition.bucket").alias("bucket"),
            F.lit(table.name).alias("table"),
            F.col("file_path").alias("uri"),
            F.col("record_count").alias("rows"),
            F.col("readable_metrics.network.lower_bound").alias("network_min"),
            F.col("readable_metrics.network.upper_bound").alias("network_max"),
        )
        for table in OBJECT_TABLES
    )
    return reduce(DataFrame.unionByName, per_table).where(in_buckets(buckets))


def plan_tombstones(spark: SparkSession, storage: Storage, load: Load, buckets: Collection[int]) -> None:
    """Write the ids of objects that must not come back. Those for all networks go to every bucket; they are few."""
    storage.delete(load.plan_tombstones, recursive=True)  # of an earlier attempt
    ids = tombstone_ids(spark)
    if ids is None:
        return
    of_buckets = local_frame(spark, [(bucket,) for bucket in buckets], _BUCKETS)
    somewhere = ids.where(in_buckets(buckets)).select("bucket", "network", "oid")
    anywhere = ids.where("bucket IS NULL").select("network", "oid").crossJoin(F.broadcast(of_buckets))
    _write(somewhere.unionByName(anywhere), storage.uri(load.plan_tombstones))


def _forget_asked(storage: Storage, load: Load) -> None:
    """Delete what questions of an earlier plan found; landings may be in use, and the folder's sweep deletes them."""
    for bucket in storage.list(load.landings):
        for entry in storage.list(bucket.path):
            if not entry.is_dir:
                storage.delete(entry.path)


def _write(df: DataFrame, uri: str) -> None:
    """Write one file per bucket, by one task; Spark combines many small buckets into few tasks."""
    df.repartition("bucket").write.mode("append").partitionBy("bucket").parquet(uri)


def _write_refs(df: DataFrame, uri: str) -> None:
    """The same, sorted and in small row groups, so that a network needs few. Existing buckets are replaced."""
    replacing = _sorted(df, "name").write.mode("overwrite").option("partitionOverwriteMode", "dynamic")
    replacing.option("parquet.block.size", _GROUP_BYTES).partitionBy("bucket").parquet(uri)


def _write_origins(df: DataFrame, uri: str) -> None:
    """Sorted and in small row groups, too, so that a part of the origins needs few."""
    adding = _sorted(df).write.mode("append").option("parquet.block.size", _GROUP_BYTES)
    adding.partitionBy("bucket").parquet(uri)


def _sorted(df: DataFrame, *then: str) -> DataFrame:
    return df.repartition("bucket").sortWithinPartitions("bucket", "network", "url", *then)
