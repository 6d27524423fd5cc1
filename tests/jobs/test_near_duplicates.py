"""Near-duplicates against the exact similarity of all pairs."""

from __future__ import annotations

from itertools import combinations

from pyspark.sql import SparkSession

from jobs.near_duplicates import TYPES, pairs, sign
from pipeline.read.minhash import MOST_BYTES, SIMILAR
from tests.support.near_texts import families, jaccard


def test_pairs_are_those_of_the_exact_similarity(session: SparkSession) -> None:
    bodies = families()
    others = [(b"short", b"a b c d"), (b"binary", b"\0" + b"x y z " * 500), (b"large", b"w " * MOST_BYTES)]
    frame = session.createDataFrame(
        [(oid, f"{oid.decode()}.txt", len(body), body) for oid, body in [*bodies.items(), *others]],
        "oid binary, name string, size bigint, content binary",
    )
    signed = frame.mapInArrow(sign, TYPES).persist()
    rows = pairs(signed).collect()
    assert pairs(signed, 0.95).collect() == [row for row in rows if row.similarity >= 0.95]
    signed.unpersist()
    assert rows
    for row in rows:
        exact = jaccard(bodies[bytes(row.oid)], bodies[bytes(row.like_oid)])
        assert row.similarity >= SIMILAR
        assert abs(row.similarity - exact) < 0.15  # four standard errors
        assert bytes(row.like_oid) < bytes(row.oid)
        assert (row.name, row.like_name) == (f"{bytes(row.oid).decode()}.txt", f"{bytes(row.like_oid).decode()}.txt")
    groups = {oid: oid for oid in bodies}
    for row in rows:
        old, new = groups[bytes(row.oid)], groups[bytes(row.like_oid)]
        groups = {oid: new if group == old else group for oid, group in groups.items()}
    similar = [pair for pair in combinations(bodies, 2) if jaccard(bodies[pair[0]], bodies[pair[1]]) >= 0.9]
    assert len(similar) > 30
    assert [pair for pair in similar if groups[pair[0]] != groups[pair[1]]] == []
    assert [row for row in rows if bytes(row.oid)[:1] != bytes(row.like_oid)[:1]] == []
