"""Our decoder with C git as its judge, and with packs that no git would write."""

from __future__ import annotations

import gc
import hashlib
import random
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.errors import BasesMissing, LimitExceeded, OriginError, OriginTimeout, PackCorrupt
from pipeline.git.limits import MIB, Limits
from pipeline.git.pack import Pack
from tests.git.packs import (
    BLOB,
    COMMIT,
    TAG,
    TREE,
    append,
    back,
    check,
    copy,
    delta,
    everything,
    full,
    header,
    insert,
    number,
    ofs_delta,
    oid_of,
    outside,
    pack_objects,
    pack_of,
    read_in_child,
    read_pack,
    ref_delta,
    replace_all,
    zeros,
)
from tests.support.repos import add_commits, build_graph, git, init, strange_repository

PEAK_BYTES = 300 * MIB


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strange_repository(tmp_path_factory.mktemp("repos") / "strange.git", large_bytes=200_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.parametrize("memory_bytes", [0, 200_000, 128 * MIB])
@pytest.mark.parametrize("options", [["--delta-base-offset"], [], ["--window=0"], ["--depth=4", "--window=50"]])
def test_a_pack_of_git_has_every_object_once(
    options: list[str], memory_bytes: int, strange: Path, tmp_path: Path
) -> None:
    data = pack_objects(strange, "--all", "--no-reuse-delta", *options)
    reached = git(strange, "rev-list", "--all", "--objects", "--no-object-names").split()
    expected = everything(strange)
    check(
        read_pack(tmp_path, data, memory_bytes=memory_bytes),
        {oid: expected[oid] for oid in (bytes.fromhex(word.decode()) for word in reached)},
    )


@pytest.mark.parametrize("options", [["--delta-base-offset"], []])
def test_a_thin_pack_takes_its_bases_from_outside(options: list[str], tmp_path: Path) -> None:
    repo = tmp_path / "repo.git"
    ids = build_graph(repo, [[n, n - 1] if n > 1 else [1] for n in range(1, 40)])
    before = everything(repo)
    add_commits(repo, 40)
    new = {oid: known for oid, known in everything(repo).items() if oid not in before}
    data = pack_objects(repo, "--revs", "--thin", *options, stdin=b"main\n^%s\n" % ids[39].encode())
    check(read_pack(tmp_path, data, outside(before)), new)
    with pytest.raises(BasesMissing, match="deltas have no base"):
        read_pack(tmp_path, data)


def test_an_empty_pack_has_nothing(tmp_path: Path) -> None:
    assert read_pack(tmp_path, pack_of([])) == []


def judged(repo: Path, data: bytes) -> dict[bytes, tuple[int, bytes]]:
    """What git reads from a handmade pack."""
    git(init(repo), "index-pack", "--stdin", stdin=data)
    return everything(repo)


@pytest.mark.parametrize("memory_bytes", [0, 1000, 128 * MIB])
def test_a_deep_chain(memory_bytes: int, tmp_path: Path) -> None:
    entries, data = [full(BLOB, b"start\n")], b"start\n"
    for depth in range(4000):
        entries.append(ofs_delta(len(entries[-1]), append(data, b"%d\n" % depth)))
        data += b"%d\n" % depth
    whole = pack_of(entries)
    check(read_pack(tmp_path, whole, memory_bytes=memory_bytes), judged(tmp_path / "repo.git", whole))


@pytest.mark.parametrize("memory_bytes", [0, 20_000, 128 * MIB])
def test_a_wide_family_with_grandchildren(memory_bytes: int, tmp_path: Path) -> None:
    base = bytes(random.Random(1).randbytes(5000))
    entries = [full(BLOB, base)]
    for child in range(1000):
        entries.append(ofs_delta(sum(map(len, entries)), append(base, b"%d" % child)))
        if child % 3 == 0:
            data = base + b"%d" % child
            entries.append(ref_delta(oid_of(BLOB, data), append(data, b"x")))
    whole = pack_of(entries)
    check(read_pack(tmp_path, whole, memory_bytes=memory_bytes), judged(tmp_path / "repo.git", whole))


def test_a_comb_spills_no_more_than_it_holds(tmp_path: Path) -> None:
    """Every base has two children, and the later one is a base again: all of them wait at once."""
    data, entries, offsets = random.Random(1).randbytes(3000), [], [12]
    entries.append(full(BLOB, data))
    for depth in range(300):
        base_at = offsets[-1]
        for tooth in (b"-", b"+"):
            at = 12 + sum(map(len, entries))
            entries.append(ofs_delta(at - base_at, append(data, b"%d%s" % (depth, tooth))))
            offsets.append(at)
        data += b"%d+" % depth
    whole = pack_of(entries)
    check(read_pack(tmp_path, whole, memory_bytes=10_000), judged(tmp_path / "repo.git", whole))


def test_a_delta_may_come_before_its_base(tmp_path: Path) -> None:
    tree = b"100644 a\0" + oid_of(BLOB, b"a")
    entries = [
        ref_delta(oid_of(BLOB, b"a"), replace_all(b"a", b"b")),
        full(BLOB, b"a"),
        ref_delta(oid_of(TREE, tree), append(tree, b"100644 b\0" + oid_of(BLOB, b"b"))),
        full(TREE, tree),
    ]
    whole = pack_of(entries)
    check(read_pack(tmp_path, whole), judged(tmp_path / "repo.git", whole))


def test_an_object_twice_in_a_pack_is_given_twice_and_its_deltas_once(tmp_path: Path) -> None:
    entries = [full(BLOB, b"same"), full(BLOB, b"same"), ref_delta(oid_of(BLOB, b"same"), append(b"same", b"!"))]
    found = read_pack(tmp_path, pack_of(entries))
    assert sorted(o.data or b"" for o in found) == [b"same", b"same", b"same!"]


def test_outside_bases_are_taken_one_at_a_time_and_blobs_last(tmp_path: Path) -> None:
    trees = {oid_of(TREE, b"100644 %d\0" % n + b"x" * 20): (TREE, b"100644 %d\0" % n + b"x" * 20) for n in range(3)}
    blobs = {oid_of(BLOB, b"blob %d" % n): (BLOB, b"blob %d" % n) for n in range(3)}
    entries = [full(BLOB, b"inside")]
    entries += [ref_delta(oid, append(data, b"100644 z\0" + b"z" * 20)) for oid, (_, data) in trees.items()]
    entries += [ref_delta(oid, append(data, b"!")) for oid, (_, data) in blobs.items()]
    entries += [ref_delta(oid_of(BLOB, b"inside"), append(b"inside", b"!"))]
    found = read_pack(tmp_path, pack_of(entries), outside(trees | blobs))
    assert [o.type for o in found] == [TREE] * 3 + [BLOB] * 5


# Packs that no git would write.


def garbled(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """A pack after edits; their positions are taken modulo its length."""
    whole = bytearray(data)
    for what, place, value in edits:
        at = place % (len(whole) or 1)
        if what == "write":
            whole[at : at + len(value)] = value
        elif what == "insert":
            whole[at:at] = value
        elif what == "cut":
            del whole[at:]
        else:
            del whole[at : at + len(value)]
    return bytes(whole)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "insert", "remove", "cut"]),
        st.integers(0, 40) | st.integers(0, 1 << 20),
        st.binary(min_size=1, max_size=6) | st.sampled_from([b"\xff" * 12, b"\x80" * 12, bytes(4)]),
    ),
    min_size=1,
    max_size=4,
)
SMALL = Limits(blob_bytes=1000, inflated_bytes=50 * MIB)


@pytest.fixture(scope="module")
def small_packs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    repo = tmp_path_factory.mktemp("repos") / "small.git"
    build_graph(repo, [[1], [2, 1], [3, 1, 2]])
    add_commits(repo, 6)
    return [pack_objects(repo, "--all", *options) for options in (["--delta-base-offset"], [], ["--window=0"])]


def read_hostile(folder: Path, data: bytes) -> None:
    with suppress(OriginError):
        for found in read_pack(folder, data, limits=SMALL, memory_bytes=500):
            assert found.data is None or oid_of(found.type, found.data) == found.oid


@given(which=st.integers(0, 2), edits=EDITS)
def test_a_garbled_pack_raises_only_our_own_errors(
    which: int, edits: list[tuple[str, int, bytes]], small_packs: list[bytes], folder: Path
) -> None:
    read_hostile(folder, garbled(small_packs[which], edits))


SIZES = st.integers(0, 300) | st.sampled_from([MIB, 1 << 31, 1 << 63, 1 << 64, 1 << 100])
INSTRUCTIONS = st.lists(
    st.binary(max_size=9)
    | st.builds(copy, st.integers(0, 300), st.integers(0, 300))
    | st.binary(max_size=100).map(insert)
    | st.just(b"\x80"),
    max_size=6,
).map(b"".join)
BASE = bytes(range(256))
DELTAS = st.builds(delta, SIZES | st.just(len(BASE)), SIZES, INSTRUCTIONS) | st.binary(max_size=20)
ENTRIES = st.lists(
    st.one_of(
        st.just(full(BLOB, BASE)),
        st.builds(full, st.sampled_from([COMMIT, TREE, BLOB, TAG]), st.binary(max_size=60)),
        st.builds(lambda kind, data, size: full(kind, data, claims=size), st.integers(0, 7), st.binary(), SIZES),
        st.builds(ofs_delta, st.integers(0, 600) | SIZES, DELTAS),
        st.builds(ref_delta, st.sampled_from([oid_of(BLOB, BASE), oid_of(BLOB, b""), b"\0" * 20]), DELTAS),
    ),
    max_size=8,
)


@given(entries=ENTRIES, count=st.none() | st.integers(0, 9), after=st.just(b"") | st.binary(max_size=30))
def test_entries_in_any_order_raise_only_our_own_errors(
    entries: list[bytes], count: int | None, after: bytes, folder: Path
) -> None:
    read_hostile(folder, pack_of(entries, count=count, after=after))


HUNDRED = 100 * MIB
ZEROS = zlib.compress(bytes(HUNDRED), 9)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        pytest.param(b"", PackCorrupt, "only 0 bytes", id="no bytes"),
        pytest.param(b"PACK" + bytes(8), PackCorrupt, "only 12 bytes", id="header only"),
        pytest.param(b"KCAP" + pack_of([])[4:], PackCorrupt, "no header", id="no pack"),
        pytest.param(b"PACK\0\0\0\4" + pack_of([])[8:], PackCorrupt, "no header", id="version 4"),
        pytest.param(pack_of([full(0, b"x")]), PackCorrupt, "unknown entry type 0", id="type 0"),
        pytest.param(pack_of([full(5, b"x")]), PackCorrupt, "unknown entry type 5", id="type 5"),
        pytest.param(pack_of([full(BLOB, b"x")], count=2), PackCorrupt, "ends inside", id="fewer than said"),
        pytest.param(pack_of([full(BLOB, b"x")], count=0xFFFFFFFF), LimitExceeded, "4294967295 objects", id="many"),
        pytest.param(pack_of([full(BLOB, b"x")] * 2, count=1), PackCorrupt, "left over", id="more than said"),
        pytest.param(pack_of([full(BLOB, b"x")], after=b"hi"), PackCorrupt, "2 bytes are left over", id="trailing"),
        pytest.param(pack_of([header(BLOB, 3) + b"junk"]), PackCorrupt, "damaged at byte 12", id="no zlib stream"),
        pytest.param(pack_of([full(BLOB, b"xy", claims=1)]), PackCorrupt, "more than 1|instead of 1", id="one more"),
        pytest.param(pack_of([full(BLOB, b"xy", claims=3)]), PackCorrupt, "2 bytes instead of 3", id="one less"),
        pytest.param(pack_of([header(BLOB, 10) + ZEROS]), PackCorrupt, "more than 10|instead of 10", id="bomb"),
        pytest.param(pack_of([full(BLOB, b"x", claims=1 << 40)]), LimitExceeded, "inflate to more", id="claims a TB"),
        pytest.param(pack_of([full(BLOB, b"x", claims=1 << 200)]), PackCorrupt, "more than 56 bits", id="2**200"),
        pytest.param(pack_of([b"\xbf" + b"\xff" * 50_000]), PackCorrupt, "more than 56 bits", id="a size without end"),
        pytest.param(
            pack_of([full(BLOB, b"x"), header(6, 4) + b"\xff" * 50_000]),
            PackCorrupt,
            "more than 56 bits",
            id="an offset without end",
        ),
        pytest.param(pack_of([ofs_delta(0, delta(1, 1, b"\1x"))]), PackCorrupt, "itself", id="its own base"),
        pytest.param(pack_of([ofs_delta(13, delta(1, 1, b"\1x"))]), PackCorrupt, "not in the pack", id="before it"),
        pytest.param(pack_of([ofs_delta(5, delta(1, 1, b"\1x"))]), PackCorrupt, "not in the pack", id="in the header"),
        pytest.param(
            pack_of([full(BLOB, b"xxxxxxxx"), ofs_delta(3, delta(8, 1, b"\1x"))]),
            PackCorrupt,
            "begins inside another entry",
            id="base inside another",
        ),
        pytest.param(
            pack_of([full(BLOB, b"x"), ofs_delta(len(full(BLOB, b"x")), delta(2, 1, b"\1x"))]),
            PackCorrupt,
            "does not fit its base",
            id="another base",
        ),
        pytest.param(
            pack_of([full(BLOB, b"x"), ofs_delta(len(full(BLOB, b"x")), delta(1, 9, b"\1x"))]),
            PackCorrupt,
            "does not fit its base",
            id="result shorter than said",
        ),
        pytest.param(
            pack_of([full(BLOB, b"x"), ofs_delta(len(full(BLOB, b"x")), delta(1, 1 << 35, copy(0, 1)))]),
            LimitExceeded,
            "builds an object of",
            id="result of 32 GB",
        ),
        pytest.param(
            pack_of([ref_delta(b"a" * 20, delta(1, 1, b"\1x")), ref_delta(b"b" * 20, delta(1, 1, b"\1y"))]),
            BasesMissing,
            "2 deltas have no base",
            id="bases nowhere",
        ),
        pytest.param(
            pack_of(
                [
                    ref_delta(oid_of(BLOB, b"two"), replace_all(b"two", b"one")),
                    ref_delta(oid_of(BLOB, b"one"), replace_all(b"one", b"two")),
                ]
            ),
            BasesMissing,
            "2 deltas have no base",
            id="a cycle",
        ),
    ],
)
def test_a_hostile_pack_is_refused(data: bytes, error: type[OriginError], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says) as caught:
        read_pack(tmp_path, data)
    if error is PackCorrupt:
        assert caught.value.code == "pack_corrupt", "asking again without offers would not help"


def on_top_of(base: bytes, instructions: bytes, result_bytes: int) -> bytes:
    entry = full(BLOB, base)
    return pack_of([entry, ofs_delta(len(entry), delta(len(base), result_bytes, instructions))])


def test_a_delta_whose_copies_are_more_than_it_says_takes_no_memory(tmp_path: Path) -> None:
    """64 KiB of instructions of one byte each, which copy 64 KiB each: 4 GiB."""
    data = on_top_of(bytes(65_536), b"\x80" * 65_536, 10)
    found = read_in_child(tmp_path, data, address_space=4 << 30)
    assert found["error"] == "pack_corrupt"
    assert found["peak_bytes"] < PEAK_BYTES


@pytest.mark.slow
def test_a_delta_that_is_huge_itself_takes_no_memory(tmp_path: Path) -> None:
    entry = full(BLOB, b"x")
    huge = header(6, 1 << 30) + back(len(entry)) + zeros(1 << 30)
    found = read_in_child(tmp_path, pack_of([entry, huge]), address_space=4 << 30)
    assert found["error"] == "limit_exceeded"
    assert found["peak_bytes"] < PEAK_BYTES


@pytest.mark.parametrize("kind", [COMMIT, TREE, TAG])
def test_what_is_no_blob_may_not_be_huge(kind: int, tmp_path: Path) -> None:
    found = read_in_child(tmp_path, pack_of([header(kind, 400 * MIB) + zeros(400 * MIB)]))
    assert found["error"] == "limit_exceeded"
    assert found["peak_bytes"] < PEAK_BYTES


@pytest.mark.slow
def test_a_huge_blob_is_hashed_in_little_memory(tmp_path: Path) -> None:
    size = 400 * MIB
    first, second = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
    for _ in range(size // MIB):
        first.update(bytes(MIB))
        second.update(bytes(MIB))
    found = read_in_child(tmp_path, pack_of([header(BLOB, size) + zeros(size), full(BLOB, b"x")]))
    assert found["error"] is None
    assert found["objects"][0] == [first.hexdigest(), BLOB, size, False, second.hexdigest()]
    assert found["objects"][1][:4] == [oid_of(BLOB, b"x").hex(), BLOB, 1, True]
    assert found["peak_bytes"] < PEAK_BYTES


def test_a_blob_over_the_limit_is_still_a_base(tmp_path: Path) -> None:
    base, small = bytes(5000), Limits(blob_bytes=1000)
    entries = [full(BLOB, base), ref_delta(oid_of(BLOB, base), delta(5000, 3, insert(b"abc")))]
    entries.append(ref_delta(oid_of(BLOB, b"abc"), delta(3, 2000, insert(bytes(2000)))))
    found = read_pack(tmp_path, pack_of(entries), limits=small)
    assert [(o.size, o.data) for o in found] == [(5000, None), (3, b"abc"), (2000, None)]
    assert [o.oid for o in found] == [oid_of(BLOB, data) for data in (base, b"abc", bytes(2000))]
    assert found[0].sha256 == hashlib.sha256(base).digest()
    assert found[2].sha256 == hashlib.sha256(bytes(2000)).digest()


def test_the_results_of_deltas_count_too(tmp_path: Path) -> None:
    base = bytes(60_000)
    entries = [full(BLOB, base)]
    entries += [ref_delta(oid_of(BLOB, base), append(base, b"%d" % n)) for n in range(100)]
    with pytest.raises(LimitExceeded, match="inflate to more than 1000000 bytes"):
        read_pack(tmp_path, pack_of(entries), limits=Limits(inflated_bytes=1_000_000))


def test_a_delta_whose_sizes_never_end_is_refused_at_once(tmp_path: Path) -> None:
    """Numbers are read before anything checks them: a number of a million digits must not be multiplied out."""
    for sizes in (b"\xff" * 5_000_000, b"\1" + b"\xff" * 5_000_000, number(1 << 64) + b"\1", number(1 << 120) + b"\1"):
        entry = full(BLOB, b"x")
        with pytest.raises(PackCorrupt, match="does not fit its base"):
            read_pack(tmp_path, pack_of([entry, ofs_delta(len(entry), sizes + b"\1x")]))


def test_many_tiny_objects_take_little_memory(tmp_path: Path) -> None:
    """We must keep numbers of each entry, not Python objects: a pack may hold tens of millions of entries."""
    count = 30_000
    entries, at = [full(BLOB, b"x")], len(full(BLOB, b"x"))
    for n in range(count):
        entries.append(ofs_delta(at, delta(1, 3, b"\3" + n.to_bytes(3, "big"))))
        at += len(entries[-1])
    path = tmp_path / "many.pack"
    path.write_bytes(pack_of(entries))
    del entries
    gc.collect()
    tracemalloc.start()
    try:
        with Pack(path, limits=Limits(), scratch=tmp_path, memory_bytes=MIB) as pack:
            assert sum(1 for _ in pack.objects()) == count + 1
        assert tracemalloc.get_traced_memory()[1] < 120 * count + 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_pack_is_left_when_its_time_is_up(tmp_path: Path) -> None:
    """A large object lets the caller stop, during the search for its end and during hashing."""
    path = tmp_path / "slow.pack"
    path.write_bytes(pack_of([header(BLOB, 20 * MIB) + zeros(20 * MIB)]))
    calls, last = 0, 10

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > last:
            raise OriginTimeout("enough")

    with pytest.raises(OriginTimeout):
        Pack(path, limits=Limits(), scratch=tmp_path, check=check)
    calls, last = 0, 1_000_000
    with Pack(path, limits=Limits(blob_bytes=1000), scratch=tmp_path, check=check) as pack:
        calls, last = 0, 10
        with pytest.raises(OriginTimeout):
            list(pack.objects())
