"""``files``: one row per path in the tree of each origin's HEAD."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import FILES, OID, spark_type
from pipeline.night.walk import CUT, NETWORK_PATH_BYTES, NETWORK_PATHS, WALKED, walker
from pipeline.rules.walk import MISSING, subtrees
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import LOAD_PROPERTY, full_name, in_buckets
from pipeline.tables.rewrite import Seen, overwrite, until_committed
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

_ROOTS = ["network", "origin", "tree"]
_BODIES = ("bucket", "network", "oid", "content")
_LEVEL = OBJECT.append(pa.field("child", OID))
_LEVEL_TYPES = "bucket int, network bigint, oid binary, child binary"
_FILES_TYPES = ", ".join(f"{column.name} {spark_type(column.type)}" for column in FILES.columns)


def replace_files(writer: Writer, load: Load, heads: pa.Table, seen: Seen) -> None:
    """Replace the rows of origins whose HEAD moved; an origin without a commit at HEAD keeps none.

    The touched buckets are rewritten in one commit, sorted, with the rows of other origins unchanged. That writes more
    than merging the few changed paths, but a bucket's rows are a thousandth of a table of a few gigabytes, readers
    never meet delete files, and the second run of a night writes exactly what the first did.

    Trees that are new at HEAD (a merged branch) are first found among the others and marked ``at_head``. A tree that
    exists nowhere is left out with a warning: the audit checks a load's commits and their trees against the archive,
    but nothing below. Paths beyond the limits of a walk are left out with a warning, too.

    Args:
        heads: moved origins, as ``HEADS``, whose ``head_moved`` is true.
        seen: the table as it was before ``heads`` were found.
    """
    buckets = set(heads["bucket"].to_pylist())
    with _walked(writer, heads, buckets) as found:
        table = seen.rows().where(in_buckets(buckets))
        moved = local_frame_of(writer.spark, heads.select(["bucket", "origin"]))
        kept = table.join(F.broadcast(moved), ["bucket", "origin"], "left_anti").select(*FILES.column_names)
        overwrite(kept.unionByName(found), seen, in_buckets(buckets), {LOAD_PROPERTY: load.name})


def local_frame_of(spark: SparkSession, table: pa.Table) -> DataFrame:
    """A small Arrow table as a frame that travels inside the plan."""
    return spark.createDataFrame(table)


@contextmanager
def _walked(writer: Writer, heads: pa.Table, buckets: Collection[int]) -> Iterator[DataFrame]:
    """Rows of ``files`` for the heads, cached while the context lasts."""
    rows = _walk(writer.spark, heads, buckets)
    try:
        for _ in range(TURNS):
            missing = _missing(rows, heads)
            hidden = _hidden(writer.spark, missing, buckets) if missing else set()
            if not hidden:
                break
            rows.unpersist()
            promote_trees(writer, _table(sorted(hidden), OBJECT))
            rows = _walk(writer.spark, heads, buckets)
        _warn(rows, heads)
        yield rows.where(~F.col("kind").isin(MISSING, WALKED, CUT))
    finally:
        rows.unpersist()


def _walk(spark: SparkSession, heads: pa.Table, buckets: Collection[int]) -> DataFrame:
    """The rows of ``walker``, cached."""
    roots: dict[int, dict[bytes, list[str]]] = {}
    for row in heads.filter(pc.is_valid(heads["tree"])).select(_ROOTS).to_pylist():
        roots.setdefault(row["network"], {}).setdefault(row["tree"], []).append(row["origin"])
    walk = walker({n: list(trees.items()) for n, trees in roots.items()}, NETWORK_PATHS, NETWORK_PATH_BYTES)
    networks = local_frame_of(spark, heads.select(["bucket", "network"])).distinct()
    return (
        spark.table(full_name("trees"))
        .where(in_buckets(buckets) & F.col("at_head"))
        .join(F.broadcast(networks), ["bucket", "network"], "left_semi")
        .select(*_BODIES)
        .groupBy("bucket", "network")
        .applyInArrow(walk, _FILES_TYPES)
        .persist()
    )


def _missing(rows: DataFrame, heads: pa.Table) -> set[Place]:
    """Trees that a walk lacked, roots included; at most ``MOST_IDS``, the others get another turn."""
    unwalked = rows.where(F.col("kind") == MISSING).select(*OBJECT.names).distinct().limit(MOST_IDS).toArrow()
    walked = rows.where(F.col("kind").isin(WALKED, CUT)).select("origin").toArrow()
    done = pc.is_in(heads["origin"], value_set=walked["origin"].combine_chunks())
    without = heads.filter(pc.and_(pc.is_valid(heads["tree"]), pc.invert(done)))
    roots = without.select(["bucket", "network", "tree"])
    return {tuple(row.values()) for row in [*unwalked.to_pylist(), *roots.to_pylist()]}


def _warn(rows: DataFrame, heads: pa.Table) -> None:
    """Log which origins lack some of their files."""
    for lost in rows.where(F.col("kind") == MISSING).limit(_SAID).collect():
        log.warning("%s: tree %s at HEAD is missing", lost["origin"], bytes(lost["oid"]).hex())
    for cut in rows.where(F.col("kind") == CUT).limit(_SAID).collect():
        log.warning("%s: HEAD has too many paths; files has only the first of them", cut["origin"])


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
