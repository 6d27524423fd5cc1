"""Walks the trees of one network within limits, without Spark."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from pipeline.night import blobs as head_blobs
from pipeline.night.walk import CHUNK_BYTES, CHUNK_ROWS, CUT, DONE, LOST, PUT, Bodies, Heads, plan_lines, walker
from pipeline.rules.lines import NewTree
from tests.rules.test_walk import entry

PLENTY = 1 << 40


def nested(levels: int, width: int) -> dict[bytes, bytes]:
    """Trees that each have the next one under many names; the last one has a file."""
    ids = [bytes([n]) * 20 for n in range(levels + 1)]
    trees = {ids[n]: b"".join(entry(b"40000", b"%d" % k, ids[n + 1]) for k in range(width)) for n in range(levels)}
    return trees | {ids[levels]: entry(b"100644", b"f", b"f" * 20)}


ROOT = bytes(20)


def walked(
    trees: dict[bytes, bytes], roots: Sequence[bytes], most_paths: int, most_bytes: int = PLENTY
) -> list[dict[str, object]]:
    heads = Heads((), (), [NewTree(root) for root in roots])
    batches = list(plan_lines(1, 5, trees, heads, most_paths, most_bytes))
    assert all(batch.num_rows <= CHUNK_ROWS and batch.nbytes < 4 * CHUNK_BYTES for batch in batches)
    return pa.Table.from_batches(batches).to_pylist()


def ops(rows: list[dict[str, object]]) -> dict[object, int]:
    found = [row["op"] for row in rows if row["kind"] != "tree"]
    return {op: found.count(op) for op in sorted(set(map(str, found)))}


def test_a_bomb_is_cut_and_says_so() -> None:
    rows = walked(nested(12, 10), [ROOT], 50_000)
    found = ops(rows)
    assert found.pop(CUT) == 1
    assert 0 < found.pop(PUT) < 50_000
    assert found == {}
    assert [row["mode"] for row in rows if row["kind"] == "tree"] == [1]


def test_long_paths_are_counted_by_their_bytes() -> None:
    ids = [bytes([n]) * 20 for n in range(60)]
    deep = {ids[n]: entry(b"40000", b"d" * 250, ids[n + 1]) for n in range(59)}
    deep[ids[59]] = b"".join(entry(b"100644", b"%d" % k, b"f" * 20) for k in range(5000))
    rows = walked(deep, [ROOT], 1_000_000, 2 << 20)
    assert ops(rows)[CUT] == 1
    assert sum(len(str(row["path"])) for row in rows if row["op"] == PUT) <= 2 << 20


def test_the_trees_of_forks_share_a_budget() -> None:
    trees = {ROOT: entry(b"100644", b"f", b"f" * 20), b"a" * 20: nested(1, 10)[ROOT]}
    trees[b"\1" * 20] = nested(1, 10)[b"\1" * 20]
    rows = walked(trees, [ROOT, b"a" * 20], 12)
    assert [(row["root"], row["op"]) for row in rows if row["op"] in (CUT, DONE)] == [(ROOT, DONE), (b"a" * 20, CUT)]


def test_a_missing_tree_is_named_once() -> None:
    body = b"".join(entry(b"40000", b"%d" % k, b"x" * 20) for k in range(100))
    rows = walked({ROOT: body}, [ROOT, b"y" * 20], 1000)
    assert [(row["root"], row["oid"]) for row in rows if row["op"] == LOST] == [
        (b"y" * 20, b"y" * 20),
        (ROOT, b"x" * 20),
    ]
    assert [row["mode"] for row in rows if row["kind"] == "tree"] == [1]


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
    found = pa.Table.from_batches(list(walker({5: Heads((), (), [NewTree(ROOT)])}, 1000, PLENTY)(batches)))
    assert ops(found.to_pylist()) == {PUT: 9, DONE: 1}


def test_a_lexer_that_fails_costs_a_language_and_no_night(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, content: bytes) -> str:
        raise RecursionError(content)

    monkeypatch.setattr(head_blobs, "language_of", fail)
    key = {"bucket": 1, "network": 5, "oid": b"o" * 20}
    batch = pa.RecordBatch.from_pylist([{**key, "name": "a.py", "content": b"x\ny\n"}])
    assert [row["lines"] for found in head_blobs.look_at([batch]) for row in found.to_pylist()] == [2]
