"""``head_blobs``: one row per distinct blob at HEAD of a network, with its language, lines and licence."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.rows import BINARY_PROBE_BYTES
from pipeline.model.tables import HEAD_BLOBS, OID, spark_type
from pipeline.night.files import local_frame_of, mark_at_head
from pipeline.night.language import count_lines, language_of
from pipeline.night.licence import NAMES, Licences
from pipeline.rules.generated import is_generated
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.conflicts import Seen
from pipeline.tables.file_rows import Pointers, rows_at_head
from pipeline.tables.frames import join_ids
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets
from pipeline.tables.session import split_freely
from pipeline.tables.tombstones import not_taken_down
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

KEY = ["bucket", "network", "oid"]

_LOOKED = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("oid", OID),
        ("language", pa.string()),
        ("lines", pa.int64()),
        ("is_generated", pa.bool_()),
        ("spdx_id", pa.string()),
        ("spdx_confidence", pa.float64()),
    ]
)
_LOOKED_TYPES = ", ".join(f"{field.name} {spark_type(field.type)}" for field in _LOOKED)


def replace_head_blobs(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Update the networks of moved origins after ``files``; only blobs with a new id or name are read, and those whose
    rows an earlier version wrote, which lack columns.

    Blobs that are new at HEAD are first marked ``at_head`` in ``contents``. One commit removes what is no longer at
    HEAD and adds what is new.

    Args:
        heads: moved origins, as ``HEADS``, whose ``head_moved`` is true.
        seen: the table as it was before ``heads`` were found.
    """
    spark, buckets = writer.spark, set(heads["bucket"].to_pylist())
    networks = F.broadcast(local_frame_of(spark, heads.select(["bucket", "network"])).distinct())
    numbers = set(heads["network"].to_pylist())
    old = seen.rows().where(in_places(buckets, numbers)).join(networks, ["bucket", "network"], "left_semi")
    now = not_taken_down(blobs_at_head(_rows_at_head(spark, heads, networks, buckets)))
    differing = _differing(now, old).persist()
    try:
        counts = differing.groupBy("bucket").agg(F.count("now").alias("new"), F.count("was").alias("gone")).collect()
        fresh = differing.where(F.col("now").isNotNull()).select(*now.columns)
        by_bucket = {row["bucket"]: row["new"] for row in counts if row["new"]}
        if by_bucket:
            _promote_contents(writer, fresh, by_bucket)
        new = _described(spark, fresh, by_bucket) if by_bucket else seen.rows().limit(0)
        gone = differing.where(F.col("was").isNotNull()).select(*KEY, "name").distinct()
        new_count, gone_count = (sum(row[kind] for row in counts) for kind in ("new", "gone"))
        change = RowChange(new.select(*HEAD_BLOBS.column_names), new_count, gone, gone_count, buckets, numbers)
        if new_count or gone_count:
            with split_freely(spark):
                change_rows(seen, change, {LOAD_PROPERTY: load.name})
    finally:
        # unpersist() would not find it: Spark caches a frame again when a table that it reads was written.
        spark.catalog.clearCache()


def _differing(now: DataFrame, old: DataFrame) -> DataFrame:
    """Rows that only one of two frames has, by key and name: the columns of ``now``, and ``now`` and ``was``.

    A row of both is there as well if the old one has not all columns.
    """
    mine = now.withColumn("now", F.lit(True))
    theirs = old.select(*KEY, "name", F.col("is_generated").isNotNull().alias("whole")).withColumn("was", F.lit(True))
    both = mine.join(theirs, [*KEY, "name"], "full_outer")
    return both.where("now IS NULL OR was IS NULL OR NOT whole").drop("whole")


def _rows_at_head(spark: SparkSession, heads: pa.Table, networks: DataFrame, buckets: Collection[int]) -> DataFrame:
    """The paths at HEAD of the networks: of moved origins as in ``heads``, of the others as in ``repositories``."""
    moved = F.broadcast(local_frame_of(spark, heads.select(["bucket", "network", "origin", "tree"])))
    others = spark.table(full_name("repositories")).where(in_buckets(buckets))
    others = others.join(networks, ["bucket", "network"], "left_semi").join(moved, ["bucket", "origin"], "left_anti")
    trees = others.select("bucket", "network", "tree").unionByName(moved.select("bucket", "network", "tree"))
    stored = spark.table(full_name("files")).where(in_places(buckets, set(heads["network"].to_pylist())))
    stored = stored.join(networks, ["bucket", "network"], "left_semi")
    return rows_at_head(stored, Pointers.collected(stored, trees))


def blobs_at_head(paths: DataFrame) -> DataFrame:
    """Distinct blobs with the first of their names, those of licence files before others; ``is_link`` if only symlinks
    have them.
    """
    regular = F.col("kind") == "file"
    named = F.struct((~F.col("name").rlike(NAMES)).alias("other"), "name", "ext")
    return (
        paths.where(F.col("kind").isin("file", "symlink"))
        .groupBy(*KEY)
        .agg(
            F.coalesce(F.min(F.when(regular, named)), F.min(named)).alias("first"),
            (~F.max(regular)).alias("is_link"),
        )
        .select(*KEY, "first.name", "first.ext", "is_link")
    )


def contents_to_read(spark: SparkSession, fresh: DataFrame, counts: Mapping[int, int]) -> DataFrame:
    """The bytes of fresh blobs, with their names at HEAD. Content is never shuffled."""
    contents = spark.table(full_name("contents")).where("at_head").select(*KEY, "content")
    wanted = fresh.where(~F.col("is_link")).select(*KEY, "name")
    return join_ids(contents, wanted, KEY, "inner", counts).select(*KEY, "name", "content")


def _promote_contents(writer: Writer, fresh: DataFrame, counts: Mapping[int, int]) -> None:
    history = writer.spark.table(full_name("contents")).where(~F.col("at_head")).select(*KEY)
    newly = join_ids(history, fresh.select(*KEY), KEY, "left_semi", counts).persist()
    try:
        touched = [row["bucket"] for row in newly.select("bucket").distinct().collect()]
        if touched:
            mark_at_head(writer, "contents", newly, touched)
    finally:
        newly.unpersist()


def _described(spark: SparkSession, fresh: DataFrame, counts: Mapping[int, int]) -> DataFrame:
    blobs = spark.table(full_name("blobs")).select(*KEY, "size", "is_binary")
    facts = join_ids(blobs, fresh.select(*KEY), KEY, "left_semi", counts).dropDuplicates(KEY)
    read = contents_to_read(spark, fresh, counts).mapInArrow(look_at, _LOOKED_TYPES).dropDuplicates(KEY)
    described = fresh.join(facts, KEY, "left").join(read, KEY, "left")
    return described.fillna(False, "is_generated").select(*HEAD_BLOBS.column_names)


def look_at(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What the content of each row of ``contents_to_read`` tells; no language and lines of binaries."""
    licences = Licences()
    for batch in batches:
        contents = (cell.as_py() for cell in batch["content"])
        rows = zip(batch["network"].to_pylist(), batch["name"].to_pylist(), contents, strict=True)
        found = [
            (*_facts(name, content), *(licences.of(network, name, content) or (None, None)))
            for network, name, content in rows
        ]
        facts = [[row[at] for row in found] for at in range(len(_LOOKED) - len(KEY))]
        types = list(_LOOKED.types)[len(KEY) :]
        columns = [*(batch[key] for key in KEY), *(pa.array(*each) for each in zip(facts, types, strict=True))]
        yield pa.RecordBatch.from_arrays(columns, schema=_LOOKED)


def _facts(name: str, content: bytes) -> tuple[str | None, int | None, bool]:
    binary = b"\0" in content[:BINARY_PROBE_BYTES]
    language, lines = (None, None) if binary else (_language(name, content), count_lines(content))
    return language, lines, is_generated(name, content)


def _language(name: str, content: bytes) -> str | None:
    """As ``language_of``; None if hostile content makes the lexers fail."""
    try:
        return language_of(name, content)
    except Exception as error:
        log.warning("no language for %r: %s: %s", name[:100], type(error).__name__, str(error)[:200])
        return None
