"""Comparing trees without reading what they share."""

from itertools import pairwise

import pytest

from pipeline.rules.tree_diff import Measures, Steps, TooMany, compare
from pipeline.rules.walk import UNCOUNTABLE
from tests.rules.test_walk import A, B, C, entry

D, E = b"d" * 20, b"e" * 20


def differences(old: bytes, new: bytes, trees: dict[bytes, bytes], steps: int = 100) -> dict[bytes, tuple[int, int]]:
    return {c.path: (len(c.old), len(c.new)) for c in compare(old, new, trees, Steps(steps))}


def test_shared_subtrees_are_not_read() -> None:
    trees = {
        A: entry(b"40000", b"same", E) + entry(b"40000", b"dir", C) + entry(b"100644", b"gone", E),
        B: entry(b"40000", b"same", E) + entry(b"40000", b"dir", D) + entry(b"100644", b"new", E),
        C: entry(b"100644", b"f", A) + entry(b"100644", b"kept", A),
        D: entry(b"100644", b"f", B) + entry(b"100644", b"kept", A),
    }
    assert differences(A, B, trees) == {b"gone": (1, 0), b"new": (0, 1), b"dir/f": (1, 1)}
    with pytest.raises(TooMany):
        differences(A, B, trees, steps=5)


def test_long_paths_of_few_small_trees_are_limited() -> None:
    """Each level names the one below twice: a thousand paths of ten thousand bytes, in 22,000 bytes of trees."""
    ids = [bytes([level]) * 20 for level in range(1, 12)]
    names = (b"a" * 1000, b"b" * 1000)
    trees = {oid: b"".join(entry(b"40000", name, below) for name in names) for oid, below in pairwise(ids)}
    trees |= {ids[-1]: entry(b"100644", b"f", C), E: b""}
    with pytest.raises(TooMany):
        list(compare(E, ids[0], trees, Steps(10**6, 10**6)))
    assert len(list(compare(E, ids[0], trees, Steps(10**6, 10**8)))) == 1024


def test_a_file_that_becomes_a_folder_and_a_name_that_occurs_twice() -> None:
    trees = {
        A: entry(b"100644", b"x", C) + entry(b"100644", b"t", C) + entry(b"100644", b"t", D),
        B: entry(b"40000", b"x", E) + entry(b"100644", b"t", D),
        E: entry(b"100755", b"y", C),
    }
    assert differences(A, B, trees) == {b"x": (1, 0), b"x/y": (0, 1), b"t": (2, 1)}


def test_a_mode_is_a_difference_but_not_that_of_a_folder() -> None:
    trees = {
        A: entry(b"100644", b"f", C) + entry(b"40000", b"d", E),
        B: entry(b"100755", b"f", C) + entry(b"040000", b"d", E),
    }
    assert differences(A, B, trees) == {b"f": (1, 1)}


@pytest.mark.parametrize(
    ("trees", "comparable", "paths"),
    [
        ({A: entry(b"40000", b"d", B), B: entry(b"100644", b"f", C)}, True, 2),
        ({A: entry(b"40000", b"d", B)}, False, 1),
        ({A: entry(b"40000", b"d", B), B: entry(b"100644", b"a/b", C)}, False, 2),
        ({A: entry(b"40000", b"d", A)}, False, UNCOUNTABLE),
        ({}, False, 0),
    ],
)
def test_what_can_be_compared(trees: dict[bytes, bytes], comparable: bool, paths: int) -> None:
    found = Measures(trees).of(A)
    assert (found.comparable, found.paths) == (comparable, paths)
