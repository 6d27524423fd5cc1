"""Walks the trees of one network within limits, without Spark."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from pipeline.night import blobs as head_blobs
from pipeline.night.walk import CHUNK_BYTES, CHUNK_ROWS, CUT, WALKED, Bodies, walk_network, walker
from pipeline.rules.walk import MISSING
from tests.rules.test_walk import entry

PLENTY = 1 << 40


def nested(levels: int, width: int) -> dict[bytes, bytes]:
    """Trees that each have the next one under many names; the last one has a file."""
    ids = [bytes([n]) * 20 for n in range(levels + 1)]
    trees = {ids[n]: b"".join(entry(b"40000", b"%d" % k, ids[n + 1]) for k in range(width)) for n in range(levels)}
    return trees | {ids[levels]: entry(b"100644", b"f", b"f" * 20)}


ROOT = bytes(20)


def walked(
    trees: dict[bytes, bytes], roots: Sequence[tuple[bytes, list[str]]], most_paths: int, most_bytes: int = PLENTY
) -> pa.Table:
    batches = list(walk_network(1, 5, trees, roots, most_paths, most_bytes))
    assert all(batch.num_rows <= CHUNK_ROWS and batch.nbytes < 4 * CHUNK_BYTES for batch in batches)
    return pa.Table.from_batches(batches)


def kinds(rows: pa.Table, origin: str) -> dict[str, int]:
    found = [row["kind"] for row in rows.to_pylist() if row["origin"] == origin]
    return {kind: found.count(kind) for kind in sorted(set(found))}


def test_a_bomb_is_cut_and_says_so() -> None:
    rows = walked(nested(12, 10), [(ROOT, ["bomb"])], 50_000)
    found = kinds(rows, "bomb")
    assert found.pop(CUT) == 1
    assert 0 < found.pop("file") < 50_000
    assert found == {}


def test_long_paths_are_counted_by_their_bytes() -> None:
    ids = [bytes([n]) * 20 for n in range(60)]
    deep = {ids[n]: entry(b"40000", b"d" * 250, ids[n + 1]) for n in range(59)}
    deep[ids[59]] = b"".join(entry(b"100644", b"%d" % k, b"f" * 20) for k in range(5000))
    rows = walked(deep, [(ROOT, ["deep"])], 1_000_000, 2 << 20)
    assert kinds(rows, "deep")[CUT] == 1
    assert sum(len(path) for path in rows["path"].to_pylist()) <= 2 << 20


def test_forks_share_a_budget_and_the_walk_of_one_tree() -> None:
    trees = {
        ROOT: entry(b"100644", b"f", b"f" * 20),
        b"a" * 20: nested(1, 10)[ROOT],
        b"\1" * 20: nested(1, 10)[b"\1" * 20],
    }
    rows = walked(trees, [(ROOT, ["one", "two"]), (b"a" * 20, ["three"])], 12)
    assert kinds(rows, "one") == kinds(rows, "two") == {WALKED: 1, "file": 1}
    assert kinds(rows, "three")[CUT] == 1


def test_a_missing_tree_is_named_once() -> None:
    body = b"".join(entry(b"40000", b"%d" % k, b"x" * 20) for k in range(100))
    assert kinds(walked({ROOT: body}, [(ROOT, ["o"]), (b"y" * 20, ["p"])], 1000), "o") == {MISSING: 1, WALKED: 1}


def test_trees_that_are_too_many_to_hold_lie_in_a_file() -> None:
    trees = nested(3, 4)
    with Bodies(most_bytes=200) as bodies:
        for oid, body in [*trees.items(), *trees.items()]:
            bodies.add(oid, body)
        assert dict(bodies) == trees
        assert b"x" * 20 not in bodies
        assert bodies.get(b"x" * 20) is None


def test_a_group_in_many_batches_is_one_network() -> None:
    schema = pa.schema(
        [("bucket", pa.int32()), ("network", pa.int64()), ("oid", pa.binary()), ("content", pa.binary())]
    )
    rows = [{"bucket": 1, "network": 5, "oid": oid, "content": body} for oid, body in nested(2, 3).items()]
    batches = iter([pa.RecordBatch.from_pylist([row], schema) for row in rows])
    found = pa.Table.from_batches(list(walker({5: [(ROOT, ["o"])]}, 1000, PLENTY)(batches)))
    assert kinds(found, "o") == {"file": 9, WALKED: 1}


def test_a_lexer_that_fails_costs_a_language_and_no_night(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, content: bytes) -> str:
        raise RecursionError(content)

    monkeypatch.setattr(head_blobs, "language_of", fail)
    key = {"bucket": 1, "network": 5, "oid": b"o" * 20}
    batch = pa.RecordBatch.from_pylist([{**key, "name": "a.py", "content": b"x\ny\n"}])
    assert [row["lines"] for found in head_blobs.look_at([batch]) for row in found.to_pylist()] == [2]
