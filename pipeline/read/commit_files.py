"""What each commit changed, file by file, computed from ``commits`` and ``trees`` (decision 35)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.model.tables import OID, spark_type
from pipeline.model.text import text_and_raw
from pipeline.night.walk import Bodies, in_batches
from pipeline.rules.commit_diff import EMPTY_TREE, NOT_COMPARED, UNKNOWN, FileChange, file_changes
from pipeline.rules.tree_diff import Steps
from pipeline.rules.walk import MOST_PATHS

NETWORK_STEPS = 100_000_000
"""Entries that differ and are looked at in one network, some minutes of work; a commit has at most ``MOST_PATHS``."""

ROW_COMMITS = 10_000
"""Commits that one row of a tree brings along, a megabyte: a tree may be that of any number of commits."""

SCHEMA = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("commit", OID),
        ("status", pa.string()),
        ("path", pa.string()),
        ("path_raw", pa.binary()),
        ("old_path", pa.string()),
        ("old_path_raw", pa.binary()),
        ("old_mode", pa.int32()),
        ("old_oid", OID),
        ("new_mode", pa.int32()),
        ("new_oid", OID),
    ]
)
_TYPES = ", ".join(f"{field.name} {spark_type(field.type)}" for field in SCHEMA)
_KEY = ["bucket", "network"]

_CARRIED = ("carrier", "content", "part", "pairs")
_ID_BYTES = 20

_Pair = tuple[bytes | None, bytes]
"""Old and new tree."""


def commit_files(commits: DataFrame, trees: DataFrame) -> DataFrame:
    """The rows of ``SCHEMA``: each commit against its first parent, a root against the empty tree.

    No content is shuffled: commits come to the rows of the trees that they are compared with, bucket by bucket, and a
    Python worker holds the trees of one network at a time (``Bodies``).

    Args:
        commits, trees: the tables of these names, or the same networks of both.
    """
    pairs = _pairs(commits)
    carried = _carried(pairs)
    at_trees = trees.select(*_KEY, F.col("oid").alias("carrier"), "content")
    once = F.when(F.coalesce("part", F.lit(0)) == 0, F.col("content"))
    compared = (
        at_trees.join(carried, [*_KEY, "carrier"], "left")
        .select(*_KEY, "carrier", once.alias("content"), "part", "pairs")
        .groupBy(*_KEY)
        .applyInArrow(_compare_network, _TYPES)
    )
    lost = pairs.join(at_trees.select(*_KEY, "carrier"), [*_KEY, "carrier"], "left_anti")
    return compared.unionByName(lost.select(*(_unknown(field) for field in SCHEMA)))


def _pairs(commits: DataFrame) -> DataFrame:
    """Commits with the trees to compare, ``old`` null if the parent is not archived.

    ``carrier`` is the tree at whose row the comparison is made: one that is archived, as the empty tree need not be.
    """
    commits = commits.select(*_KEY, "oid", "tree", F.get("parents", F.lit(0)).alias("parent")).dropDuplicates(
        [*_KEY, "oid"]
    )
    parents = commits.select(*_KEY, F.col("oid").alias("parent"), F.col("tree").alias("parent_tree"))
    empty = F.lit(bytearray(EMPTY_TREE))
    old = F.when(F.col("parent").isNull(), empty).otherwise(F.col("parent_tree"))
    return (
        commits.join(parents, [*_KEY, "parent"], "left")
        .select(*_KEY, "oid", old.alias("old"), F.col("tree").alias("new"))
        .where(~F.col("old").eqNullSafe(F.col("new")))
        .withColumn("carrier", F.when(F.col("new") == empty, F.coalesce("old", "new")).otherwise(F.col("new")))
    )


def _carried(pairs: DataFrame) -> DataFrame:
    """The pairs by carrier, ``ROW_COMMITS`` per row."""
    nth = F.row_number().over(Window.partitionBy(*_KEY, "carrier").orderBy("oid"))
    part = F.floor((nth - 1) / ROW_COMMITS).alias("part")
    parts = pairs.select("*", part).groupBy(*_KEY, "carrier", "part")
    return parts.agg(F.collect_list(F.struct("oid", "old", "new")).alias("pairs"))


def _unknown(field: pa.Field) -> Column:
    """A column of a commit that cannot be compared."""
    known = {"bucket": F.col("bucket"), "network": F.col("network"), "commit": F.col("oid"), "status": F.lit(UNKNOWN)}
    return known.get(field.name, F.lit(None)).cast(spark_type(field.type)).alias(field.name)


def _compare_network(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    bucket = network = 0
    pairs: dict[_Pair, bytearray] = {}
    seen: set[tuple[bytes, int]] = set()
    with Bodies() as trees:
        trees.add(EMPTY_TREE, b"")
        for batch in batches:
            if batch.num_rows:
                bucket, network = batch["bucket"][0].as_py(), batch["network"][0].as_py()
            for carrier, content, part, carried in zip(*(batch[name] for name in _CARRIED), strict=True):
                if content.is_valid:
                    trees.add(carrier.as_py(), content.as_py())
                place = carrier.as_py(), part.as_py()
                if carried.is_valid and place not in seen:  # a tree may have two rows
                    seen.add(place)
                    for pair in carried.as_py():
                        pairs.setdefault((pair["old"], pair["new"]), bytearray()).extend(pair["oid"])
        changes = _changes(pairs, trees)
        rows = (((bucket, network, commit, *_cells(change)), _text_bytes(change)) for commit, change in changes)
        yield from in_batches(rows, SCHEMA)


def _changes(pairs: Mapping[_Pair, bytes | bytearray], trees: Bodies) -> Iterator[tuple[bytes, FileChange]]:
    """What each commit changed; equal pairs of trees are compared once.

    Args:
        pairs: with the ids of their commits, one after the other.
    """
    left = NETWORK_STEPS
    for (old, new), commits in pairs.items():
        steps = Steps(min(left, MOST_PATHS))
        before = steps.left
        changes = file_changes(old or b"", new, trees, steps)
        cost = before - max(steps.left, 0)
        for at in range(0, len(commits), _ID_BYTES):
            said = changes if cost <= left else [NOT_COMPARED]
            left -= min(cost, left)
            cost = len(said)
            yield from ((bytes(commits[at : at + _ID_BYTES]), change) for change in said)


def _text_bytes(change: FileChange) -> int:
    return len(change.path) + len(change.old_path or b"")


def _cells(change: FileChange) -> tuple[object, ...]:
    path, path_raw = text_and_raw(change.path)
    old_path, old_path_raw = (None, None) if change.old_path is None else text_and_raw(change.old_path)
    sides = (change.old_mode, change.old_oid, change.new_mode, change.new_oid)
    return (change.status, path or None, path_raw, old_path, old_path_raw, *sides)
