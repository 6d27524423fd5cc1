"""Walking trees, hostile ones included."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import walk as walk_module
from pipeline.plan.walk import MISSING, subtrees, walk

A, B, C = b"a" * 20, b"b" * 20, b"c" * 20


def entry(mode: bytes, name: bytes, oid: bytes) -> bytes:
    return mode + b" " + name + b"\0" + oid


def test_paths_kinds_and_missing_trees() -> None:
    trees = {
        A: entry(b"40000", b"dir", B) + entry(b"40000", b"lost", C) + entry(b"100644", b"f", C),
        B: entry(b"120000", b"l", A) + entry(b"160000", b"s", A) + entry(b"100664", b"odd", A),
    }
    assert {(e.path, e.kind, e.oid) for e in walk(A, trees)} == {
        (b"f", "file", C),
        (b"lost", MISSING, C),
        (b"dir/l", "symlink", A),
        (b"dir/s", "submodule", A),
        (b"dir/odd", "file", A),
    }
    assert subtrees(trees[A]) == {B, C}


def test_a_name_twice_comes_twice() -> None:
    body = entry(b"100644", b"f", B) + entry(b"100644", b"f", C)
    assert [e.oid for e in walk(A, {A: body})] == [B, C]


def test_a_malformed_tree_gives_what_is_before_the_damage() -> None:
    assert [e.path for e in walk(A, {A: entry(b"100644", b"f", B) + b"100644 cut"})] == [b"f"]


def test_a_tree_bomb_ends() -> None:
    ids = [bytes([n]) * 20 for n in range(12)]
    bomb = {ids[n]: b"".join(entry(b"40000", b"%d" % k, ids[n + 1]) for k in range(10)) for n in range(11)}
    bomb[ids[11]] = entry(b"100644", b"f", A)
    assert sum(1 for _ in walk(ids[0], bomb, most_paths=1000)) <= 1000


def test_endless_depth_ends() -> None:
    assert list(walk(A, {A: entry(b"40000", b"x" * 1000, A)})) == []
    assert walk_module.LONGEST_PATH_BYTES < 20_000


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    for found in walk(A, {A: body}, most_paths=50):
        assert found.name in found.path
