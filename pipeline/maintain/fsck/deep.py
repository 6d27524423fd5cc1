"""The deep check: every object against its id, and every named object against those that exist, slice by slice."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.maintain.fsck.examine import (
    CATALOGUE,
    CONTENT,
    EXAMINED,
    FACTS_TYPES,
    NEED,
    OBJECT,
    PATHS,
    PROBLEM,
    REFS,
    WHOLE_FILE,
    Examiner,
)
from pipeline.maintain.fsck.state import Progress, digest_of
from pipeline.model.errors import PipelineError
from pipeline.model.tables import DERIVED_NAMES
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.named import NamedFile, Role, TableFiles
from pipeline.rules.slices import bucket_slices
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.failures import plain_failures
from pipeline.tables.file_rows import Pointers, sums_by_origin
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import not_taken_down

logger = logging.getLogger(__name__)

PLACES = pa.schema([("table", pa.string()), ("bucket", pa.int32()), ("path", pa.string()), ("group", pa.int32())])
KEY = ["bucket", "network", "oid"]

TASK_BYTES = 16 << 20
"""Bytes of files per task, at least one row group."""

SLICE_BYTES_A_THREAD = 512 << 20
"""Bytes of files per slice: a killed check repeats one slice, and Spark's local disks hold its ids."""

MOST_FINDINGS = 10_000
"""Findings per kind and slice; more would say nothing new."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The outcome of the deep check of some buckets."""

    findings: list[Finding]
    objects: int
    resumed: int


def deep(
    spark: SparkSession,
    storage: Storage,
    tables: dict[str, TableFiles],
    buckets: Sequence[int],
    skip: set[str],
    *,
    settled: bool,
) -> Examined:
    """Check the objects of the current state.

    Args:
        buckets: only these; empty for all.
        skip: files that are known to be damaged or gone.
        settled: no load is under way, so derived tables must agree with the others.

    Raises:
        StorageUnavailable, SparkFailed: the check itself could not continue; run it again.
    """
    files: dict[int, list[NamedFile]] = defaultdict(list)
    for name in EXAMINED:
        table = tables.get(f"code.{name}")
        if table is not None and table.current is not None:
            for file in table.live(table.current):
                if file.bucket is not None and (not buckets or file.bucket in buckets):
                    files[file.bucket].append(file)
    progress = Progress.resume(storage, "deep")
    digests = {bucket: digest_of(f"{file.table} {file.path}" for file in mine) for bucket, mine in files.items()}
    done = {bucket for bucket in files if progress.has(f"bucket {bucket}", digests[bucket])}
    findings = [finding for bucket in done for finding in progress.findings.get(f"bucket {bucket}", [])]
    objects = 0
    sizes = {b: sum(file.size_bytes or 0 for file in mine) + 1 for b, mine in files.items() if b not in done}
    for part in bucket_slices(sizes, SLICE_BYTES_A_THREAD * spark.sparkContext.defaultParallelism):
        mine = [file for bucket in part for file in files[bucket] if file.path not in skip]
        with plain_failures(storage.root_uri):
            found, count = _slice(spark, storage, part, mine)
        if not settled:
            found = [finding for finding in found if finding.kind is not Kind.DERIVED_DISAGREES]
        findings += found
        objects += count
        logger.info("buckets %s: %d objects, %d findings", ", ".join(map(str, part)), count, len(found))
        for bucket in part:
            progress.finish(f"bucket {bucket}", digests[bucket], [f for f in found if f.bucket == bucket])
        progress.write()
    progress.forget()
    return Examined(findings, objects, len(done))


def examine_states(
    spark: SparkSession, storage: Storage, tables: dict[str, TableFiles], bucket: int, states: Mapping[str, int]
) -> list[Finding]:
    """The deep check of one bucket, with some tables in states other than their current ones.

    Args:
        states: snapshots by table.
    """
    files = [
        file
        for name in EXAMINED
        if (table := tables.get(f"code.{name}")) is not None and (at := states.get(name, table.current)) is not None
        for file in table.live(at)
        if file.bucket == bucket
    ]
    with plain_failures(storage.root_uri):
        return _slice(spark, storage, [bucket], files)[0]


def _slice(
    spark: SparkSession, storage: Storage, buckets: list[int], files: list[NamedFile]
) -> tuple[list[Finding], int]:
    data = [file for file in files if file.role is Role.DATA]
    places = [
        (file.table.removeprefix("code."), file.bucket, file.path, group)
        for file in data
        for group in (range(file.groups) if file.groups else (WHOLE_FILE,))
    ]
    if not places:
        return [], 0
    wanted = -(-sum(file.size_bytes or 0 for file in data) // TASK_BYTES)
    tasks = min(len(places), max(wanted, spark.sparkContext.defaultParallelism))
    frame = local_frame(spark, places, PLACES).repartition(tasks)
    facts = frame.mapInArrow(Examiner(storage).__call__, FACTS_TYPES).persist(StorageLevel.DISK_ONLY)
    try:
        findings, deleted = _deleted(spark, storage, buckets, files)
        live = facts.where(F.col("fact").isin(OBJECT, CONTENT, PATHS, CATALOGUE))
        if deleted is not None:
            live = live.join(F.broadcast(deleted), ["path", "pos"], "left_anti")
        for check in (_problems, _missing, _doubled, _contents, _counts):
            findings += check(facts, live)
        return findings, facts.where(F.col("fact") == OBJECT).count()
    finally:
        facts.unpersist()


def _deleted(
    spark: SparkSession, storage: Storage, buckets: list[int], files: list[NamedFile]
) -> tuple[list[Finding], DataFrame | None]:
    """Rows that deletion vectors hide: path and pos. If a vector cannot be read, its rows count as live."""
    findings: list[Finding] = []
    found: list[DataFrame] = []
    root = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?", "", storage.root_uri)
    for name in sorted({file.table for file in files if file.role is Role.DELETES}):
        table = name.removeprefix("code.")
        rows = spark.table(f"{full_name(table)}.position_deletes").where(F.col("partition.bucket").isin(buckets))
        path = F.regexp_replace("file_path", f"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?{re.escape(root)}/", "")
        try:
            with plain_failures(storage.root_uri):
                taken = rows.select(path.alias("path"), "pos").toArrow()
        except StoredFileDamaged as error:
            where = storage.path_of(error.path) or error.path
            findings.append(Finding(Kind.FILE_UNREADABLE, error.problem, where, name, buckets[0]))
        except PipelineError as error:
            if error.retryable:
                raise
            findings.append(Finding(Kind.FILE_UNREADABLE, f"its deletes cannot be read: {error}", "", name, buckets[0]))
        else:
            found.append(spark.createDataFrame(taken))
    return findings, reduce(DataFrame.unionByName, found) if found else None


def _problems(facts: DataFrame, live: DataFrame) -> Iterator[Finding]:
    rows = facts.where(F.col("fact") == PROBLEM).select("table", "bucket", "network", "oid", "path", "text").distinct()
    for row in rows.limit(MOST_FINDINGS).collect():
        kind, _, problem = row["text"].partition(" ")
        oid = "" if row["oid"] is None else bytes(row["oid"]).hex()
        yield Finding(Kind(kind), problem, row["path"], f"code.{row['table']}", row["bucket"], row["network"], oid)


def _missing(facts: DataFrame, live: DataFrame) -> Iterator[Finding]:
    """Every named object must be a commit, tree, tag or blob of the network, or have been taken down.

    A blob over the size limit counts, too.
    """
    there = live.where(F.col("fact") == OBJECT).select(*KEY)
    needs = facts.where(F.col("fact") == NEED).select("table", *KEY).distinct()
    lost = not_taken_down(needs.join(there, KEY, "left_anti")).groupBy("table", "bucket", "network").agg(*_example())
    for row in lost.limit(MOST_FINDINGS).collect():
        kind = Kind.DERIVED_DISAGREES if row["table"] in DERIVED_NAMES else Kind.OBJECT_MISSING
        yield _of(row, kind, f"{row['count']} objects that it names are not in the archive")


def _doubled(facts: DataFrame, live: DataFrame) -> Iterator[Finding]:
    rows = (
        live.where(F.col("fact").isin(OBJECT, CONTENT))
        .groupBy("table", *KEY)
        .agg(F.count("*").alias("n"), F.max("path").alias("path"))
    )
    doubles = rows.where("n > 1").groupBy("table", "bucket", "network", "path")
    for row in doubles.agg(*_example()).limit(MOST_FINDINGS).collect():
        yield _of(row, Kind.OBJECT_DOUBLED, f"{row['count']} objects are there more than once")


def _contents(facts: DataFrame, live: DataFrame) -> Iterator[Finding]:
    """``blobs`` against ``contents``."""
    blobs = live.where(F.col("fact") == OBJECT).where("`table` = 'blobs'")
    said = blobs.groupBy(*KEY).agg(
        F.first("sha256").alias("s"),
        F.first("size").alias("n"),
        F.max("text").alias("stored"),
        F.max("path").alias("path"),
    )
    held = live.where(F.col("fact") == CONTENT).groupBy(*KEY)
    found = held.agg(F.first("sha256").alias("sha256"), F.first("size").alias("size"))
    problem = (
        F.when((F.col("stored") == "yes") & F.col("sha256").isNull(), F.lit("the bytes of {} blobs are missing"))
        .when(F.col("stored").isNull(), F.lit("{} contents have no row in blobs"))
        .when(
            (F.col("stored") != "yes") & F.col("sha256").isNotNull(), F.lit("{} blobs that are not stored have bytes")
        )
        .when(
            (F.col("s") != F.col("sha256")) | (F.col("n") != F.col("size")), F.lit("{} blobs differ in bytes or size")
        )
    )
    wrong = F.col("stored").isNotNull() & F.col("sha256").isNotNull()  # the bytes hash to their id
    rows = said.join(found, KEY, "full_outer").withColumn("problem", problem).where("problem IS NOT NULL")
    rows = rows.withColumn("table", F.when(wrong, F.lit("blobs")).otherwise(F.lit("contents")))
    rows = rows.withColumn("path", F.when(wrong, F.col("path"))).withColumn("which", F.when(wrong, F.col("oid")))
    grouped = rows.groupBy("table", "bucket", "network", "path", "problem", "which")
    for row in grouped.agg(*_example()).limit(MOST_FINDINGS).collect():
        yield _of(row, Kind.CONTENT_DISAGREES, row["problem"].format(row["count"]))


def _counts(facts: DataFrame, live: DataFrame) -> Iterator[Finding]:
    """``files`` and ``refs`` against ``repositories``."""
    origin = ["bucket", "network", "text"]
    said = live.where(F.col("fact") == CATALOGUE).groupBy(*origin).agg(F.max("size").alias("said"))
    both = said.join(_paths(live), origin, "full_outer")
    both = both.select(*origin, F.coalesce("paths", F.lit(0)).alias("paths"), "said")
    for row in both.where(~F.col("said").eqNullSafe(F.col("paths"))).limit(MOST_FINDINGS).collect():
        problem = f"{row['text']}: files has {row['paths']} paths, repositories says {row['said']}"
        yield Finding(Kind.DERIVED_DISAGREES, problem, "", "code.files", row["bucket"], row["network"])
    seen = facts.where(F.col("fact") == REFS).select(*origin).distinct()
    for row in seen.join(said, origin, "left_anti").limit(MOST_FINDINGS).collect():
        problem = f"{row['text']} has refs but no row in repositories"
        yield Finding(Kind.DERIVED_DISAGREES, problem, "", "code.repositories", row["bucket"], row["network"])


def _paths(live: DataFrame) -> DataFrame:
    """How many paths ``files`` has for each origin: bucket, network, text, paths."""
    rows = live.where(F.col("fact") == PATHS)
    earlier = rows.where("size IS NULL").groupBy("bucket", "network", "text").agg(F.count("*").alias("paths"))
    none = F.lit(None)
    stored = rows.where("size IS NOT NULL").select(
        "bucket",
        "network",
        none.cast("string").alias("origin"),
        F.hex("oid").alias("path"),
        none.cast("binary").alias("path_raw"),
        *(none.cast("string").alias(name) for name in ("name", "ext")),
        none.cast("int").alias("mode"),
        F.col("text").alias("kind"),
        "oid",
        F.col("size").alias("line"),
        "base",
    )
    heads = live.where(F.col("fact") == CATALOGUE)
    heads = heads.select("bucket", "network", F.col("text").alias("origin"), F.col("oid").alias("tree")).distinct()
    sums = sums_by_origin(stored, _no_blobs(stored.sparkSession), heads, Pointers.of(stored, heads)).withColumnRenamed(
        "origin", "text"
    )
    lines = heads.select("bucket", "network", F.col("origin").alias("text")).join(sums, ["bucket", "text"])
    return earlier.unionByName(lines.select("bucket", "network", "text", F.col("files").alias("paths")))


def _no_blobs(spark: SparkSession) -> DataFrame:
    columns = "bucket int, network bigint, oid binary, size bigint, language string"
    return spark.createDataFrame([], columns)


def _example() -> tuple[Column, Column]:
    return F.count("*").alias("count"), F.min("oid").alias("oid")


def _of(row: object, kind: Kind, problem: str) -> Finding:
    place = row.asDict()  # type: ignore[attr-defined]
    oid = bytes(place["oid"]).hex()
    path = place.get("path") or ""
    return Finding(
        kind, problem, path, f"code.{place['table']}", place["bucket"], place["network"], oid, count=place["count"]
    )
