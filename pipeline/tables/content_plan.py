"""Plans in which the bytes of ``contents`` pass through no exchange: no shuffle, no broadcast."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession

from pipeline.rules.partitioning import join_split
from pipeline.tables.iceberg import SPLIT_PROPERTY, STORED_BYTES, IcebergTable, JavaObject, full_name
from pipeline.tables.session import BY_BUCKET, PARTS_OF_BUCKETS, configured

log = logging.getLogger(__name__)

_CONTENTS = full_name("contents")
_BROADCAST = "spark.sql.autoBroadcastJoinThreshold"
_SPLIT = "spark.sql.iceberg.read.split-size"
_CLEARLY_SMALLER = 4
"""Only what is this many times smaller than ``contents`` is broadcast. Spark's estimates depend on the order in which
files are found, so of two sides of about the same size either may be the smaller one each time a query is planned."""

_HOLDS_BYTES = ("binary", "array", "struct", "map")
"""Types of columns that may hold whole contents."""


@contextmanager
def content_stays(df: DataFrame) -> Iterator[None]:
    """Make actions on a frame, and on frames derived from it, keep content where it is read while the block runs.

    A frame without such a plan, such as contents deduplicated by ``oid`` alone, runs anyway, with a warning that says
    how to improve the query.
    """
    way = _way(df)
    if way is None:
        log.warning(
            "contents go through a shuffle: join and group them by bucket and network or oid, or aggregate before; "
            "a small frame without a bucket belongs in F.broadcast()"
        )
    with configured(df.sparkSession, way or {}):
        yield


def _way(df: DataFrame) -> Mapping[str, str] | None:
    if not _reads_contents(df):
        return {}
    for way in _ways(df):
        with configured(df.sparkSession, way):
            if not exchanges_of_content(df):
                return way
    return None


def _ways(df: DataFrame) -> Iterator[Mapping[str, str]]:
    """The first keeps the size of a scan's tasks; the second joins parts of a bucket of contents with the bucket of
    another table; the third bucket by bucket; the last even where Spark, which assumes 100 bytes per value, considers
    ``contents`` small enough to broadcast."""
    small = {_BROADCAST: str(_broadcast_bytes(df))}
    yield {**small, BY_BUCKET: "false"}
    split = _join_split(df.sparkSession)
    if split is not None:
        yield {**small, PARTS_OF_BUCKETS: "true", _SPLIT: str(split)}
    yield small
    yield {_BROADCAST: "-1"}


def _join_split(spark: SparkSession) -> int | None:
    """Bytes above which a bucket of contents is cut; None if there are no contents."""
    table = IcebergTable(spark, "contents")
    snapshot, split = table.current(), table.property(SPLIT_PROPERTY)
    if snapshot is None or split is None:
        return None
    return join_split(int(split), int(snapshot.summary.get(STORED_BYTES, "0")), spark.sparkContext.defaultParallelism)


def _broadcast_bytes(df: DataFrame) -> int:
    """The greatest size, by Spark's estimate, of a side that is broadcast: the session's, or less for few contents."""
    usual = int(df.sparkSession._jsparkSession.sessionState().conf().autoBroadcastJoinThreshold())
    leaves = _items(df._jdf.queryExecution().optimizedPlan().collectLeaves())
    sizes = [int(str(leaf.stats().sizeInBytes())) for leaf in leaves if _CONTENTS in leaf.toString()]
    return min([usual, *(size // _CLEARLY_SMALLER for size in sizes)])


def _reads_contents(df: DataFrame) -> bool:
    return _CONTENTS in df._jdf.queryExecution().analyzed().toString()


def exchanges_of_content(df: DataFrame) -> list[str]:
    """Names of the exchanges that whole contents would pass through if the frame ran now, and of the scans that would
    read them several times."""
    found: list[str] = []
    _follow(df.select("*")._jdf.queryExecution().executedPlan(), found)
    return found


def _follow(node: JavaObject, found: list[str]) -> set[int]:
    """Ids of a plan node's columns that hold whole contents; exchanges with such columns are added to ``found``."""
    name = str(node.nodeName())
    if name == "AdaptiveSparkPlan":
        return _follow(node.initialPlan(), found)
    output = {column.exprId().id(): column for column in _items(node.output())}
    if name.startswith("BatchScan"):
        whole = {id_ for id_, column in output.items() if _CONTENTS in name and column.name() == "content"}
        if whole and node.spjParams().replicatePartitions():
            found.append(name)
        return whole
    children = _items(node.children())
    below = set().union(*(_follow(child, found) for child in children))
    kept = output.keys() & below
    if below.intersection(column.exprId().id() for column in _items(node.references().toSeq())):
        known = {column.exprId().id() for child in children for column in _items(child.output())}
        made = (id_ for id_ in output if id_ not in known)
        kept |= {id_ for id_ in made if output[id_].dataType().typeName().startswith(_HOLDS_BYTES)}
    if "Exchange" in name and kept:
        found.append(name)
    return kept


def _items(sequence: JavaObject) -> list[JavaObject]:
    return [sequence.apply(at) for at in range(sequence.size())]
