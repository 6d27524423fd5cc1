"""Walking trees, including hostile ones."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.tree import iter_entries, kind_of
from pipeline.rules import walk as walk_module
from pipeline.rules.walk import MISSING, UNCOUNTABLE, Budget, count_paths, subtrees, walk

A, B, C = b"a" * 20, b"b" * 20, b"c" * 20


def entry(mode: bytes, name: bytes, oid: bytes) -> bytes:
    return mode + b" " + name + b"\0" + oid


def test_paths_kinds_and_missing_trees() -> None:
    trees = {
        A: entry(b"40000", b"dir", B) + entry(b"40000", b"lost", C) + entry(b"100644", b"f", C),
        B: entry(b"120000", b"l", A) + entry(b"160000", b"s", A) + entry(b"100664", b"odd", A),
    }
    assert {(e.path, e.kind, e.oid) for e in walk(A, trees, Budget())} == {
        (b"f", "file", C),
        (b"lost", MISSING, C),
        (b"dir/l", "symlink", A),
        (b"dir/s", "submodule", A),
        (b"dir/odd", "file", A),
    }
    assert subtrees(trees[A]) == {B, C}


def test_a_name_twice_comes_twice() -> None:
    body = entry(b"100644", b"f", B) + entry(b"100644", b"f", C)
    assert [e.oid for e in walk(A, {A: body}, Budget())] == [B, C]


def test_a_malformed_tree_gives_what_is_before_the_damage() -> None:
    assert [e.path for e in walk(A, {A: entry(b"100644", b"f", B) + b"100644 cut"}, Budget())] == [b"f"]


def test_a_tree_bomb_ends() -> None:
    ids = [bytes([n]) * 20 for n in range(12)]
    bomb = {ids[n]: b"".join(entry(b"40000", b"%d" % k, ids[n + 1]) for k in range(10)) for n in range(11)}
    bomb[ids[11]] = entry(b"100644", b"f", A)
    for budget in (Budget(paths=1000), Budget(size_bytes=10_000)):
        assert sum(1 for _ in walk(ids[0], bomb, budget)) <= 1000
        assert budget.spent


def test_endless_depth_ends() -> None:
    assert list(walk(A, {A: entry(b"40000", b"x" * 1000, A)}, Budget())) == []
    assert walk_module.LONGEST_PATH_BYTES < 20_000


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    for found in walk(A, {A: body}, Budget(paths=50)):
        assert found.name in found.path


def enumerated(root: bytes, trees: dict[bytes, bytes], folder: bytes = b"") -> list[bytes]:
    """Every path, including directories, the simple way."""
    paths = []
    for mode, name, child in iter_entries(trees.get(root, b"")):
        paths.append(folder + name)
        if kind_of(mode) == "tree":
            paths += enumerated(child, trees, folder + name + b"/")
    return paths


@st.composite
def forests(draw: st.DrawFn) -> dict[bytes, bytes]:
    """A few trees; each contains only later ones, some of which are missing."""
    count = draw(st.integers(1, 6))
    trees = {}
    for n in range(count):
        entries = draw(
            st.lists(st.tuples(st.integers(n + 1, count), st.sampled_from([b"a", b"bc", b"d" * 9])), max_size=4)
        )
        links = draw(st.lists(st.sampled_from([b"40000", b"100644", b"160000"]), min_size=4, max_size=4))
        trees[bytes([n]) * 20] = b"".join(
            entry(mode, name, bytes([at]) * 20) for (at, name), mode in zip(entries, links, strict=False)
        )
    return trees


@given(forests())
def test_counting_is_walking(trees: dict[bytes, bytes]) -> None:
    root = bytes(20)
    paths = enumerated(root, trees)
    assert count_paths(root, trees) == (len(paths), sum(map(len, paths)))


def test_what_would_never_end_is_counted_at_once() -> None:
    ids = [n.to_bytes(20) for n in range(5000)]
    twice = {ids[n]: entry(b"40000", b"a", ids[n + 1]) + entry(b"40000", b"b", ids[n + 1]) for n in range(4999)}
    assert count_paths(ids[0], twice | {ids[4999]: entry(b"100644", b"f", A)}) == (UNCOUNTABLE, UNCOUNTABLE)
    chain = {ids[n]: entry(b"40000", b"a", ids[n + 1]) for n in range(4999)}
    assert count_paths(ids[0], chain) == (4999, sum(2 * n + 1 for n in range(4999)))


def test_a_tree_within_itself_is_uncountable() -> None:
    assert count_paths(A, {A: entry(b"40000", b"x", A)}) == (UNCOUNTABLE, UNCOUNTABLE)
    ring = {A: entry(b"40000", b"x", B), B: entry(b"100644", b"f", C) + entry(b"40000", b"x", A)}
    assert count_paths(A, ring) == (UNCOUNTABLE, UNCOUNTABLE)
    assert count_paths(C, ring) == (0, 0)
