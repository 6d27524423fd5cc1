"""What refs lead to, against a walk that reads every tree as a whole."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.links import OID_BYTES
from pipeline.model.objects import BLOB, COMMIT, TAG, TREE, GitObject, object_id
from pipeline.read.history import History, links_of

MODES = st.sampled_from([b"100644", b"100755", b"120000", b"40000", b"160000", b"100664", b"040000", b"7", b"9"])
NAMES = st.sampled_from([b"a", b"b", b"c", b"dir", b"with space", b"160000 x"])
BLOBS = [object_id(BLOB, b"%d" % number) for number in range(6)]


@st.composite
def objects(draw: st.DrawFn) -> list[GitObject]:
    """Commits, tags and trees, some malformed, that name earlier ones, blobs and missing objects."""
    found: list[GitObject] = []
    bodies = [b""]
    for _ in range(draw(st.integers(1, 25))):
        known = st.sampled_from([*BLOBS, *(one.oid for one in found)])
        type_ = draw(st.sampled_from([TREE, TREE, TREE, TREE, COMMIT, TAG]))
        if type_ is TREE:
            entries = st.builds(lambda mode, name, oid: b"%s %s\0%s" % (mode, name, oid), MODES, NAMES, known)
            old = draw(st.sampled_from(bodies))
            cut = draw(st.integers(0, len(old)))
            middle = b"".join(draw(st.lists(entries, max_size=4)))
            replaced = old[:cut] + middle + old[cut + len(middle) :]
            body = draw(st.sampled_from([middle + old, old + middle, old[:cut] + middle + old[cut:], replaced]))
            bodies.append(body)
        elif type_ is COMMIT:
            body = b"tree %s\n" % draw(known).hex().encode()
            body += b"".join(b"parent %s\n" % oid.hex().encode() for oid in draw(st.lists(known, max_size=2)))
        else:
            body = b"object %s\ntype commit\ntag x\n" % draw(known).hex().encode()
        found.append(GitObject(type_, object_id(type_, body), body))
    return draw(st.permutations(found))


def walked(found: Iterable[GitObject], tips: Iterable[bytes]) -> set[bytes]:
    by_id = {one.oid: one for one in found}
    seen: set[bytes] = set()
    todo = list(tips)
    while todo:
        oid = todo.pop()
        if oid not in seen:
            seen.add(oid)
            if oid in by_id:
                todo.extend(links_of(by_id[oid].type, by_id[oid].body))
    return seen


@given(objects(), st.data())
def test_reachable_is_what_a_plain_walk_reaches(found: list[GitObject], data: st.DataObject) -> None:
    tips = data.draw(st.lists(st.sampled_from([one.oid for one in found]), max_size=3))
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        for one in found:
            history.add(*one)
        assert history.reachable(tips) == walked(found, tips)
        assert history.reachable(tips) == walked(found, tips)
        others = data.draw(st.lists(st.sampled_from([one.oid for one in found]), max_size=3))
        assert history.reachable(others) == walked(found, others)
        assert list(history.objects({one.oid for one in found})) == list(dict.fromkeys(found))


@pytest.mark.timeout(60)
def test_the_rest_of_a_malformed_tree_is_searched_once() -> None:
    good = b"40000 a\0" + bytes(20)
    bodies = [good, good + b"40000 " * 350_000, good + good + b"40000 " * 350_000]
    found = [GitObject(TREE, object_id(TREE, body), body) for body in bodies]
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        for one in found:
            history.add(*one)
        tips = [found[2].oid]
        assert history.reachable(tips) == walked(found, tips)


@pytest.mark.timeout(60)
def test_a_chain_of_trees_costs_each_once() -> None:
    """Each tree is like one that is not reached, and only their common entry leads to the next."""
    found: list[GitObject] = []
    oid = BLOBS[0]
    for number in range(30_000):
        for blob in BLOBS[1:3]:
            body = b"40000 %06d\0%s100644 x\0%s" % (number, oid, blob)
            found.append(GitObject(TREE, object_id(TREE, body), body))
        oid = found[-1].oid
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        for one in found:
            history.add(*one)
        assert history.reachable([oid]) == walked(found, [oid])


def test_trees_of_two_families_are_compared_with_their_own() -> None:
    """Both have the same first entry, and each tree changes one of many others."""
    families = [[object_id(BLOB, b"%s %d" % (name, n)) for n in range(500)] for name in (b"one", b"two")]
    found = []
    for number in range(200):
        for ids in families:
            ids[number] = object_id(BLOB, ids[number])
            body = b"100644 a\0%s" % BLOBS[0] + b"".join(b"100644 b%03d\0%s" % (n, i) for n, i in enumerate(ids))
            found.append(GitObject(TREE, object_id(TREE, body), body))
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        for one in found:
            history.add(*one)
        assert history._links._starts[-1] <= (2 * 501 + 398) * OID_BYTES
        assert history.reachable([found[-1].oid]) == walked(found, [found[-1].oid])


def test_of_a_tree_of_the_same_size_only_what_differs_is_kept() -> None:
    ids = [object_id(BLOB, b"%d" % number) for number in range(500)]
    found = []
    for number in range(100):
        for at in (100 + number, 400 - number):
            ids[at] = object_id(BLOB, ids[at])
        body = b"".join(b"100644 b%03d\0%s" % (at, oid) for at, oid in enumerate(ids[1:]))
        body = b"100644 a\0%s" % ids[0] + body
        found.append(GitObject(TREE, object_id(TREE, body), body))
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        for one in found:
            history.add(*one)
        assert history._links._starts[-1] == (500 + 99 * 2) * OID_BYTES
        assert history.reachable([found[-1].oid]) == walked(found, [found[-1].oid])


def test_trees_of_one_size_may_have_other_entries() -> None:
    first, last, other = (b"100644 %s\0%s" % part for part in zip((b"a", b"z", b"z"), BLOBS, strict=False))
    long = b"100644 %s\0%s" % (b"n" * 30, BLOBS[3])
    two = b"100644 n\0%s100644 o\0%s" % (BLOBS[4], BLOBS[5])
    bodies = [first + middle + last for middle in (long, two, b"160000" + long[6:])]
    bodies += [first + damaged + other for damaged in (b"no mod" + long[6:], long.replace(b"\0", b"n", 1))]
    found = [GitObject(TREE, object_id(TREE, body), body) for body in bodies]
    assert len({len(body) for body in bodies}) == 1
    for one in found[1:]:
        with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
            history.add(*found[0])
            history.add(*one)
            assert history.reachable([found[0].oid, one.oid]) == walked(found, [found[0].oid, one.oid])


def test_unlike_trees_of_one_size_take_little_memory() -> None:
    found = []
    for seed in range(2):
        body = b"100644 a\0" + BLOBS[0]
        body += b"".join(b"100644 b%05d\0%s" % (at, Random(seed).randbytes(20)) for at in range(50_000))
        found.append(GitObject(TREE, object_id(TREE, body), body))
    with tempfile.TemporaryDirectory() as folder, History(Path(folder)) as history:
        history.add(*found[0])
        tracemalloc.start()
        history.add(*found[1])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 * len(found[1].body)
