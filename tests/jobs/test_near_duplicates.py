"""Near-duplicates against the exact similarity of all pairs."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import combinations

from pyspark.sql import SparkSession

from jobs.minhash import PLACES, bands, shingles, signature
from jobs.near_duplicates import MOST_BYTES, SIMILAR, pairs, sign


def jaccard(one: bytes, other: bytes) -> float:
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


def texts() -> dict[bytes, bytes]:
    """Five families of texts: each with copies in which 0 to 39 of 400 words were changed."""
    chance = random.Random(11)
    found = {}
    for family in range(5):
        words = [b"%06x" % chance.getrandbits(24) for _ in range(400)]
        for copy in range(12):
            changed = words[:]
            for at in chance.sample(range(400), chance.choice((0, 1, 2, 4, 8, 20, 39))):
                changed[at] = b"%06x" % chance.getrandbits(24)
            found[b"%d-%02d" % (family, copy)] = (b" " if copy % 2 else b"\n\t").join(changed)
    return found


def test_pairs_are_those_of_the_exact_similarity(session: SparkSession) -> None:
    bodies = texts()
    others = [(b"short", b"a b c d"), (b"binary", b"\0" + b"x y z " * 500), (b"large", b"w " * MOST_BYTES)]
    frame = session.createDataFrame(
        [(oid, f"{oid.decode()}.txt", len(body), body) for oid, body in [*bodies.items(), *others]],
        "oid binary, name string, size bigint, content binary",
    )
    signed = frame.mapInArrow(sign, "oid binary, name string, places array<bigint>, bands array<bigint>").persist()
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


def test_a_signature_estimates_the_exact_similarity() -> None:
    bodies = list(texts().values())[:24]
    signatures = [signature(shingles(body)) for body in bodies]
    errors = [
        (signatures[one] == signatures[other]).mean() - jaccard(bodies[one], bodies[other])
        for one, other in combinations(range(len(bodies)), 2)
    ]
    assert max(map(abs, errors)) < 0.15
    assert abs(sum(errors) / len(errors)) < 0.02
    assert len(signatures[0]) == PLACES


def test_every_process_signs_alike() -> None:
    """Python's own hashes differ from one to the next."""
    program = "from jobs.minhash import *; print(bands(signature(shingles(b'a b c d e f g'))))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(bands(signature(shingles(b"a b c d e f g"))))
