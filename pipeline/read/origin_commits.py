"""Which origin reaches which commit, computed from ``refs`` and ``commits`` (decision 35)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model.tables import OID, spark_type
from pipeline.night.walk import CHUNK_ROWS
from pipeline.tables.refs import current_refs

SCHEMA = pa.schema([("bucket", pa.int32()), ("network", pa.int64()), ("origin", pa.string()), ("commit", OID)])
_TYPES = ", ".join(f"{field.name} {spark_type(field.type)}" for field in SCHEMA)
_KEY = ["bucket", "network"]


def origin_commits(refs: DataFrame, commits: DataFrame) -> DataFrame:
    """The rows of ``SCHEMA``: each commit that a ref of an origin leads to, once per origin.

    The tips of origins come to the rows of commits, bucket by bucket; a Python worker holds the ids of the commits of
    one network at a time. Nothing is reached through a commit that is not archived.

    Args:
        refs, commits: the tables of these names, or the same networks of both.
    """
    return commits_with_tips(refs, commits).groupBy(*_KEY).applyInArrow(_walk_network, _TYPES)


def commits_with_tips(refs: DataFrame, commits: DataFrame, *columns: str) -> DataFrame:
    """Bucket, network, oid, parents and more columns of commits; ``origins`` are those of which a ref leads there."""
    tips = current_refs(refs).select(*_KEY, F.coalesce("peeled", "target").alias("oid"), "origin")
    carried = tips.groupBy(*_KEY, "oid").agg(F.collect_set("origin").alias("origins"))
    return commits.select(*_KEY, "oid", "parents", *columns).join(carried, [*_KEY, "oid"], "left")


def _walk_network(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parents: dict[bytes, Sequence[bytes]] = {}
    tips: dict[str, list[bytes]] = defaultdict(list)
    for batch in batches:
        if batch.num_rows:
            bucket, network = batch["bucket"][0].as_py(), batch["network"][0].as_py()
        columns = (batch[name].to_pylist() for name in ("oid", "parents", "origins"))
        for oid, before, origins in zip(*columns, strict=True):
            parents[oid] = before or ()
            for origin in origins or ():
                tips[origin].append(oid)
    for origin, own in tips.items():
        found = reached(own, parents)
        while some := list(islice(found, CHUNK_ROWS)):
            cells = ([bucket] * len(some), [network] * len(some), [origin] * len(some), some)
            arrays = [pa.array(values, field.type) for values, field in zip(cells, SCHEMA, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def reached(tips: Iterable[bytes], parents: Mapping[bytes, Sequence[bytes]]) -> Iterator[bytes]:
    """The commits that some lead to, these included, each once; only those whose parents are known.

    >>> parents = {b"a": [], b"b": [b"a"], b"c": [b"b", b"lost"], b"d": [b"a"]}
    >>> sorted(reached([b"c", b"c", b"lost"], parents))
    [b'a', b'b', b'c']
    """
    todo, seen = list(tips), set[bytes]()
    while todo:
        oid = todo.pop()
        if oid in parents and oid not in seen:
            seen.add(oid)
            todo += parents[oid]
            yield oid
