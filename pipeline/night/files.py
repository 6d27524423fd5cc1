"""``files``: the trees at HEAD of each network, as lines."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import FILES, OID, TREE, spark_type
from pipeline.night.walk import (
    CHANGES,
    CUT,
    DROP,
    LOST,
    NETWORK_PATH_BYTES,
    NETWORK_PATHS,
    PUT,
    TAKE,
    Heads,
    walker,
)
from pipeline.rules.lines import WHOLE, Line, NewTree
from pipeline.rules.walk import subtrees
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.conflicts import Seen, until_committed
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets
from pipeline.tables.session import split_freely
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

OBJECT = pa.schema([("bucket", pa.int32()), ("network", pa.int64()), ("oid", OID)])

Place = tuple[int, int, bytes]
"""Bucket, network and id of a tree."""

TURNS = 4
MOST_LEVELS = 128
"""Levels of trees that may be new at HEAD in one turn: real repositories have about twenty."""

MOST_IDS = 1_000_000
"""Tree ids that this process holds at once, 200 bytes each."""

MOST_CHILDREN = 100_000
"""Direct subtrees of one tree that are looked up."""

_SAID = 20

LINE = ["bucket", "network", "line"]
KEY = [*LINE, "origin", "path", "path_raw"]
"""What names the rows of a path: those of a line, or of an origin where an earlier version wrote them."""

_ROOTS = ["network", "fork_of", "tree", "before"]
_BODIES = ("bucket", "network", "oid", "content")
_LEVEL = OBJECT.append(pa.field("child", OID))
_LEVEL_TYPES = "bucket int, network bigint, oid binary, child binary"
_CHANGES_TYPES = ", ".join(f"{field.name} {spark_type(field.type)}" for field in CHANGES)


def replace_files(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Give every tree at HEAD of the networks of moved origins its line, and remove what is at no HEAD any more.

    One commit adds and removes single rows, so that what a night writes follows what it changed (decision 32). Rows of
    moved origins that an earlier version wrote go, too.

    Trees that are new at HEAD (a merged branch) are first found among the others and marked ``at_head``. A tree that
    exists nowhere is left out with a warning: the audit checks a load's commits and their trees against the archive,
    but nothing below. Paths beyond the limits of a walk are left out with a warning, too.

    Args:
        heads: moved origins, as ``HEADS``, whose ``head_moved`` is true.
        seen: the table as it was before ``heads`` were found.
    """
    buckets, numbers = set(heads["bucket"].to_pylist()), set(heads["network"].to_pylist())
    with _walked(writer, heads, seen, buckets) as (found, counts, networks):
        new = found.where(F.col("op") == PUT).select(*FILES.column_names)
        gone, gone_count = found.where(F.col("op") == TAKE).select(*KEY), counts[TAKE]
        rows = seen.rows().where(in_places(buckets, numbers)).select(*KEY)
        if counts[DROP]:
            dropped = found.where(F.col("op") == DROP).select(*LINE)
            gone = gone.unionByName(rows.join(F.broadcast(dropped), LINE, "left_semi"))
            gone_count += sum(_rows(networks[row["network"]], row["line"]) for row in dropped.collect())
        earlier = heads.filter(pc.and_(heads["known"], pc.is_null(heads["before"])))
        if earlier.num_rows:
            moved = F.broadcast(local_frame_of(writer.spark, earlier.select(["bucket", "network", "origin"])))
            theirs = rows.where(F.col("line").isNull()).join(moved, ["bucket", "network", "origin"], "left_semi")
            gone, gone_count = gone.unionByName(theirs), gone_count + theirs.count()
        if counts[PUT] or gone_count:
            change = RowChange(new, counts[PUT], gone.distinct(), gone_count, buckets, numbers)
            change_rows(seen, change, {LOAD_PROPERTY: load.name})


def _rows(heads: Heads, line: int) -> int:
    """Rows of a line, that of its tree among them."""
    return next(each.rows + 1 for each in heads.lines if each.id == line)


def local_frame_of(spark: SparkSession, table: pa.Table) -> DataFrame:
    """A small Arrow table as a frame that travels inside the plan."""
    return spark.createDataFrame(table)


@contextmanager
def _walked(
    writer: Writer, heads: pa.Table, seen: Seen, buckets: Collection[int]
) -> Iterator[tuple[DataFrame, Counter[str], dict[int, Heads]]]:
    """``CHANGES`` for the heads, cached while the context lasts, how many of each ``op``, and what networks had."""
    networks = _networks(heads, seen, buckets)
    rows = _walk(writer.spark, heads, networks, buckets)
    try:
        counts = _counts(rows)
        for _ in range(TURNS):
            hidden = _hidden(writer.spark, _missing(rows), buckets) if counts[LOST] else set()
            if not hidden:
                break
            rows.unpersist()
            promote_trees(writer, _table(sorted(hidden), OBJECT))
            rows = _walk(writer.spark, heads, networks, buckets)
            counts = _counts(rows)
        if counts[LOST] or counts[CUT]:
            _warn(rows, heads)
        yield rows, counts, networks
    finally:
        rows.unpersist()


def _counts(rows: DataFrame) -> Counter[str]:
    return Counter({row["op"]: row["count"] for row in rows.groupBy("op").count().collect()})


def _networks(heads: pa.Table, seen: Seen, buckets: Collection[int]) -> dict[int, Heads]:
    """The lines and trees of the networks in which an origin moved."""
    spark = seen.spark
    networks = F.broadcast(local_frame_of(spark, heads.select(["bucket", "network"])).distinct())
    places = in_places(buckets, set(heads["network"].to_pylist()))
    rows = seen.rows().where(places & F.col("line").isNotNull())
    root = F.col("kind") == TREE
    lines = (
        rows.join(networks, ["bucket", "network"], "left_semi")
        .groupBy("bucket", "network", "line", "base")
        .agg(F.max(F.when(root, F.struct("oid", "mode"))).alias("root"), F.count_if(~root).alias("rows"))
        .select("network", "line", "base", "root.oid", "root.mode", "rows")
        .toArrow()
    )
    moved = F.broadcast(local_frame_of(spark, heads.select(["bucket", "origin"])))
    kept = (
        spark.table(full_name("repositories"))
        .where(places & F.col("tree").isNotNull())
        .join(networks, ["bucket", "network"], "left_semi")
        .join(moved, ["bucket", "origin"], "left_anti")
        .select("network", "tree")
        .distinct()
        .toArrow()
    )
    lines_of: dict[int, list[Line]] = {network: [] for network in heads["network"].to_pylist()}
    kept_of: dict[int, list[bytes]] = {network: [] for network in lines_of}
    for row in lines.to_pylist():
        whole = row["mode"] == WHOLE  # a takedown may have removed the root of a line on which others are based
        lines_of[row["network"]].append(Line(row["line"], row["base"], row["oid"] or b"", row["rows"], whole))
    for row in kept.to_pylist():
        kept_of[row["network"]].append(row["tree"])
    new = new_trees(heads)
    return {n: Heads(lines_of[n], sorted(kept_of[n]), new.get(n, [])) for n in lines_of}


def new_trees(heads: pa.Table) -> dict[int, list[NewTree]]:
    """The trees of moved origins by network, each once; the fork root's first, then those of most origins."""
    found: dict[int, dict[bytes, list[dict[str, Any]]]] = {}
    for row in heads.filter(pc.is_valid(heads["tree"])).select(_ROOTS).to_pylist():
        found.setdefault(row["network"], {}).setdefault(row["tree"], []).append(row)
    return {
        network: [
            NewTree(tree, min((row["before"] for row in rows if row["before"] is not None), default=None))
            for tree, rows in sorted(trees.items(), key=lambda item: _rank(*item))
        ]
        for network, trees in found.items()
    }


def _rank(tree: bytes, rows: Sequence[dict[str, Any]]) -> tuple[bool, int, bytes]:
    return all(row["fork_of"] is not None for row in rows), -len(rows), tree


def _walk(spark: SparkSession, heads: pa.Table, networks: dict[int, Heads], buckets: Collection[int]) -> DataFrame:
    """The rows of ``walker``, cached."""
    walk = walker(networks, NETWORK_PATHS, NETWORK_PATH_BYTES)
    places = local_frame_of(spark, heads.select(["bucket", "network"])).distinct()
    trees = (
        spark.table(full_name("trees"))
        .where(in_places(buckets, networks) & F.col("at_head"))
        .join(F.broadcast(places), ["bucket", "network"], "left_semi")
        .select(*_BODIES)
    )
    nothing = places.select("bucket", "network", *(F.lit(None).cast("binary").alias(n) for n in ("oid", "content")))
    grouped = trees.unionByName(nothing).groupBy("bucket", "network")
    return grouped.applyInArrow(walk, _CHANGES_TYPES).persist()


def _missing(rows: DataFrame) -> set[Place]:
    """Trees that a walk lacked, roots included; at most ``MOST_IDS``, the others get another turn."""
    lost = rows.where(F.col("op") == LOST).select(*OBJECT.names).distinct().limit(MOST_IDS).toArrow()
    return {tuple(row.values()) for row in lost.to_pylist()}


def _warn(rows: DataFrame, heads: pa.Table) -> None:
    """Log which origins lack some of their files."""
    for row in rows.where(F.col("op").isin(LOST, CUT)).limit(_SAID).collect():
        mine = pc.and_(pc.equal(heads["network"], row["network"]), pc.equal(heads["tree"], bytes(row["root"])))
        for origin in heads.filter(mine)["origin"].to_pylist()[:_SAID]:
            if row["op"] == LOST:
                log.warning("%s: tree %s at HEAD is missing", origin, bytes(row["oid"]).hex(), extra={"origin": origin})
            else:
                log.warning(
                    "%s: HEAD has too many paths; files has only the first of them", origin, extra={"origin": origin}
                )


def _hidden(spark: SparkSession, missing: set[Place], buckets: Collection[int]) -> set[Place]:
    """Those of some trees, and of the trees below them, that are archived but not marked ``at_head``.

    Only ids come to this process, one level of the trees at a time.
    """
    trees = spark.table(full_name("trees")).where(in_buckets(buckets) & ~F.col("at_head"))
    hidden: set[Place] = set()
    wanted = missing
    for _ in range(MOST_LEVELS):
        ids = F.broadcast(local_frame(spark, sorted(wanted), OBJECT))
        found = trees.join(ids, OBJECT.names, "left_semi").select(*_BODIES)
        level = found.mapInArrow(children, _LEVEL_TYPES).distinct().limit(MOST_IDS).toArrow().to_pylist()
        hidden |= {(row["bucket"], row["network"], row["oid"]) for row in level}
        below = {(row["bucket"], row["network"], row["child"]) for row in level if row["child"] is not None}
        wanted = below - hidden
        if not wanted or len(hidden) >= MOST_IDS:
            break
    return hidden


def children(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per tree and direct subtree, and one row per tree without a subtree."""
    for batch in batches:
        for row in batch.to_pylist():
            inside = [None, *islice(subtrees(row["content"]), MOST_CHILDREN)]
            places = [[row[name]] * len(inside) for name in OBJECT.names]
            arrays = [pa.array(values, field.type) for values, field in zip([*places, inside], _LEVEL, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=_LEVEL)


def _table(rows: Sequence[Place], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def promote_trees(writer: Writer, ids: pa.Table) -> None:
    """Mark trees as ``at_head``."""
    mark_at_head(writer, "trees", local_frame_of(writer.spark, ids), set(ids["bucket"].to_pylist()))


def mark_at_head(writer: Writer, table: str, ids: DataFrame, buckets: Collection[int]) -> None:
    """Set ``at_head`` on rows of ``trees`` or ``contents``: a merge on read, which moves only the ids.

    If rows of the buckets were added or moved since the statement began to read, Iceberg refuses the commit, and the
    statement runs again.

    Args:
        ids: network and oid, few enough to broadcast.
        buckets: the buckets of these objects.
    """
    view = f"newly_at_head_{table}"
    F.broadcast(ids.select("network", "oid").distinct()).createOrReplaceTempView(view)

    def attempt() -> None:
        with writer.table(table).committing(), split_freely(writer.spark):
            writer.spark.sql(mark_statement(table, view, buckets))

    until_committed(table, attempt)
    writer.spark.catalog.dropTempView(view)


def mark_statement(table: str, view: str, buckets: Collection[int]) -> str:
    """The UPDATE of ``mark_at_head``."""
    listed = ", ".join(str(bucket) for bucket in sorted(buckets))
    return (
        f"UPDATE {full_name(table)} SET at_head = true WHERE bucket IN ({listed}) AND NOT at_head "  # noqa: S608 - names of ours
        f"AND (network, oid) IN (SELECT network, oid FROM {view})"
    )
