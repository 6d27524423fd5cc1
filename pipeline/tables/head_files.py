"""``files``: every path in the tree of each origin's HEAD."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import FILES, OID, extension, spark_type
from pipeline.model.text import text_and_raw, text_of
from pipeline.plan.walk import MISSING, Entry, subtrees, walk
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import LOAD_PROPERTY, IcebergTable, full_name, in_buckets
from pipeline.tables.rewrite import Seen, overwrite, until_committed
from pipeline.tables.session import split_freely

log = logging.getLogger(__name__)

OBJECT = pa.schema([("bucket", pa.int32()), ("network", pa.int64()), ("oid", OID)])

_ROOTS = ("bucket", "network", "origin", "tree")
_BODIES = pa.schema([("bucket", pa.int32()), ("network", pa.int64()), ("oid", OID), ("content", pa.binary())])
_FILES_TYPES = ", ".join(f"{column.name} {spark_type(column.type)}" for column in FILES.columns)


def replace_files(
    spark: SparkSession, load: Load, heads: pa.Table, seen: Seen, check_lease: Callable[[], None]
) -> None:
    """Replace the rows of origins whose HEAD moved; one without a commit at HEAD keeps none.

    The touched buckets are rewritten in one commit, sorted, with the rows of other origins as they were. That writes
    more than a merge of the few changed paths would, yet a bucket's rows are a thousandth of a table of a few
    gigabytes, readers never meet delete files, and the second run of a night writes exactly what the first did.

    Trees that a HEAD reaches only now (a merged branch) are found among the others and marked ``at_head`` first. A tree
    that is nowhere is left out with a warning: the audit holds a load's commits and their trees against the archive,
    but not what is below.

    Args:
        heads: moved origins, as ``HEADS``, whose ``head_moved`` is true.
        seen: the table as it was before ``heads`` were found.
        check_lease: called before each commit.
    """
    buckets = set(heads["bucket"].to_pylist())
    with _walked(spark, heads, buckets, check_lease) as found:
        table = seen.rows().where(in_buckets(buckets))
        moved = local_frame_of(spark, heads.select(["bucket", "origin"]))
        kept = table.join(F.broadcast(moved), ["bucket", "origin"], "left_anti").select(*FILES.column_names)
        check_lease()
        overwrite(kept.unionByName(found), seen, in_buckets(buckets), {LOAD_PROPERTY: load.name})


def local_frame_of(spark: SparkSession, table: pa.Table) -> DataFrame:
    """A small Arrow table as a frame that travels inside the plan."""
    return spark.createDataFrame(table)


@contextmanager
def _walked(
    spark: SparkSession, heads: pa.Table, buckets: Collection[int], check_lease: Callable[[], None]
) -> Iterator[DataFrame]:
    """Rows of ``files`` for the heads, cached while the context lasts."""
    rows = _walk(spark, heads, buckets, None).persist()
    try:
        missing = rows.where(F.col("kind") == MISSING).select(*OBJECT.names).distinct().toArrow().cast(OBJECT)
        if missing.num_rows:
            rows.unpersist()
            found, hidden = _look_up(spark, missing, buckets)
            if hidden.num_rows:
                promote_trees(spark, hidden, check_lease)
            rows = _walk(spark, heads, buckets, found).persist()
            for lost in rows.where(F.col("kind") == MISSING).limit(5).collect():
                log.warning("network %d: tree %s is at HEAD but nowhere", lost["network"], bytes(lost["oid"]).hex())
        yield rows.where(F.col("kind") != MISSING)
    finally:
        rows.unpersist()


def _walk(spark: SparkSession, heads: pa.Table, buckets: Collection[int], more: pa.Table | None) -> DataFrame:
    roots = local_frame_of(spark, heads.filter(pc.is_valid(heads["tree"])).select(_ROOTS))
    bodies = (
        spark.table(full_name("trees"))
        .where(in_buckets(buckets) & F.col("at_head"))
        .join(F.broadcast(roots.select("bucket", "network").distinct()), ["bucket", "network"], "left_semi")
        .select(*_BODIES.names)
    )
    if more is not None:
        bodies = bodies.unionByName(local_frame_of(spark, more))
    return (
        bodies.groupBy("bucket", "network")
        .cogroup(roots.groupBy("bucket", "network"))
        .applyInArrow(walk_network, _FILES_TYPES)
    )


def walk_network(bodies: pa.Table, roots: pa.Table) -> pa.Table:
    """Rows of ``files`` of all origins of one network; origins with one tree share the walk."""
    if not roots.num_rows:
        return FILES.arrow_schema.empty_table()
    trees = dict(zip(bodies["oid"].to_pylist(), bodies["content"].to_pylist(), strict=True))
    origins: dict[bytes, list[str]] = {}
    for origin, tree in zip(roots["origin"].to_pylist(), roots["tree"].to_pylist(), strict=True):
        origins.setdefault(tree, []).append(origin)
    bucket, network = roots["bucket"][0].as_py(), roots["network"][0].as_py()
    parts = [
        _rows(bucket, network, origin, paths)
        for tree, urls in origins.items()
        for paths in [_paths(tree, trees)]
        for origin in urls
    ]
    return pa.concat_tables(parts)


_PATHS = pa.schema(
    [FILES.arrow_schema.field(name) for name in ("path", "path_raw", "name", "ext", "mode", "kind", "oid")]
)


def _paths(root: bytes, trees: dict[bytes, bytes]) -> pa.Table:
    columns: list[list[object]] = [[] for _ in _PATHS]
    for entry in walk(root, trees):
        for column, value in zip(columns, _cells(entry), strict=True):
            column.append(value)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _PATHS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_PATHS)


def _cells(entry: Entry) -> tuple[str, bytes | None, str, str, int, str, bytes]:
    path, raw = text_and_raw(entry.path)
    name = text_of(entry.name)
    return path, raw, name, extension(name), entry.mode & 0x7FFFFFFF, entry.kind, entry.oid


def _rows(bucket: int, network: int, origin: str, paths: pa.Table) -> pa.Table:
    places = ((bucket, pa.int32()), (network, pa.int64()), (origin, pa.string()))
    constants = [pa.repeat(pa.scalar(value, type_), paths.num_rows) for value, type_ in places]
    return pa.Table.from_arrays([*constants, *paths.columns], schema=FILES.arrow_schema)


def _look_up(spark: SparkSession, missing: pa.Table, buckets: Collection[int]) -> tuple[pa.Table, pa.Table]:
    """Read trees by id, and those below them that are not marked either, level by level.

    Returns:
        The trees that were found, and the ids of those among them that are not marked ``at_head``.
    """
    trees = spark.table(full_name("trees")).where(in_buckets(buckets))
    key = ["bucket", "network", "oid"]
    bodies: dict[tuple[int, int, bytes], bytes] = {}
    hidden: set[tuple[int, int, bytes]] = set()
    wanted = {tuple(row.values()) for row in missing.to_pylist()}
    while wanted:
        ids = F.broadcast(local_frame(spark, sorted(wanted), OBJECT))
        level = trees.join(ids, key, "left_semi").select(*key, "content", "at_head").collect()
        below: set[tuple[int, int, bytes]] = set()
        for row in level:
            place = (row["bucket"], row["network"], bytes(row["oid"]))
            bodies[place] = bytes(row["content"])
            if not row["at_head"]:
                hidden.add(place)
                below |= {(*place[:2], child) for child in subtrees(bodies[place])}
        wanted = below - bodies.keys()
    found = [(*place, body) for place, body in bodies.items()]
    return _table(found, _BODIES), _table(sorted(hidden), OBJECT)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def promote_trees(spark: SparkSession, ids: pa.Table, check_lease: Callable[[], None]) -> None:
    """Mark trees as ``at_head``."""
    mark_at_head(spark, "trees", local_frame_of(spark, ids), set(ids["bucket"].to_pylist()), check_lease)


def mark_at_head(
    spark: SparkSession, table: str, ids: DataFrame, buckets: Collection[int], check_lease: Callable[[], None]
) -> None:
    """Set ``at_head`` on rows of ``trees`` or ``contents``: a merge on read, in which only the ids move.

    Iceberg refuses the commit, and it is made anew, if rows of the buckets were added or moved since the statement
    began to read.

    Args:
        ids: network and oid, few enough to broadcast.
        buckets: the buckets that they are in.
    """
    view = f"newly_at_head_{table}"
    F.broadcast(ids.select("network", "oid").distinct()).createOrReplaceTempView(view)

    def attempt() -> None:
        newest = IcebergTable(spark, table)
        check_lease()
        with newest.committing(), split_freely(spark):
            spark.sql(mark_statement(table, view, buckets))

    until_committed(table, attempt)
    spark.catalog.dropTempView(view)


def mark_statement(table: str, view: str, buckets: Collection[int]) -> str:
    """The UPDATE of ``mark_at_head``."""
    listed = ", ".join(str(bucket) for bucket in sorted(buckets))
    return (
        f"UPDATE {full_name(table)} SET at_head = true WHERE bucket IN ({listed}) AND NOT at_head "  # noqa: S608 - names of ours
        f"AND (network, oid) IN (SELECT network, oid FROM {view})"
    )
