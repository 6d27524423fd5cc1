"""Where blobs are many, their chains come in the order of names; whatever the order, each object comes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git import pack
from pipeline.git.errors import OriginTimeout
from pipeline.git.limits import Limits
from pipeline.git.pack import NameOf, Pack
from tests.git.packs import BLOB, TREE, append, full, ofs_delta, oid_of, outside, pack_of, ref_delta

LIMITS = Limits()


@pytest.fixture(autouse=True)
def any_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MANY_BYTES", 0)


def chains(contents: Sequence[Sequence[bytes]]) -> bytes:
    """A pack with a chain for each list: a full blob, then deltas, each based on the version before. The full ones come
    first."""
    entries, starts, at = [], [], 0
    for versions in contents:
        starts.append(at)
        entries.append(full(BLOB, versions[0]))
        at += len(entries[-1])
    for versions, start in zip(contents, starts, strict=True):
        base = start
        for before, after in pairwise(versions):
            entries.append(ofs_delta(at - base, append(before, after[len(before) :])))
            base, at = at, at + len(entries[-1])
    return pack_of(entries)


def order_of(folder: Path, packed: bytes, name_of: NameOf | None, limits: Limits = LIMITS) -> list[bytes]:
    """What the decoder yields, by content."""
    path = folder / "test.pack"
    path.write_bytes(packed)
    with Pack(path, limits=limits, scratch=folder) as opened:
        found = list(opened.objects(name_of=name_of))
    assert all(one.oid == oid_of(BLOB, one.data or b"") for one in found if one.data is not None)
    return [one.data or b"?" for one in found]


def names(named: Mapping[bytes, bytes]) -> NameOf:
    """Names by content."""
    by_oid = {oid_of(BLOB, content): name for content, name in named.items()}
    return lambda oid: by_oid.get(oid, b"")


CHAINS = [[b"c", b"c1", b"c12"], [b"d", b"d1"], [b"a", b"a1"], [b"b", b"b1"], [b"e"]]
NAMED = names({b"c": b"c.c", b"d": b"a.py", b"a": b"a.c", b"b": b"b.c", b"e": b"a.a"})


def test_many_chains_come_by_extension_and_name(tmp_path: Path) -> None:
    """After the first, whose deltas are more than few; what has no deltas comes before those that have."""
    found = order_of(tmp_path, chains(CHAINS), NAMED)
    assert found == [b"c", b"c1", b"c12", b"e", b"a", b"a1", b"b", b"b1", b"d", b"d1"]


@pytest.mark.parametrize(("name_of", "many_bytes"), [(None, 0), (NAMED, 1000)])
def test_few_keep_the_order_of_the_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name_of: NameOf | None, many_bytes: int
) -> None:
    monkeypatch.setattr(pack, "MANY_BYTES", many_bytes)
    found = order_of(tmp_path, chains(CHAINS), name_of)
    assert found == [content for versions in CHAINS for content in versions]


def test_chains_of_one_name_keep_the_order_of_the_pack(tmp_path: Path) -> None:
    found = order_of(tmp_path, chains(CHAINS), lambda oid: b"one")
    assert found == [b"c", b"c1", b"c12", b"e", b"d", b"d1", b"a", b"a1", b"b", b"b1"]


def test_a_blob_too_large_to_archive_is_not_inflated_for_its_name(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def name_of(oid: bytes) -> bytes:
        asked.append(oid)
        return b""

    large = b"x" * 50
    contents = [*CHAINS[:2], [large, large + b"1"], CHAINS[2]]
    found = order_of(tmp_path, chains(contents), name_of, Limits(blob_bytes=40))
    assert set(asked) == {oid_of(BLOB, b"d"), oid_of(BLOB, b"a")}
    assert sorted(found) == sorted([b"c", b"c1", b"c12", b"d", b"d1", b"?", b"?", b"a", b"a1"])


def test_names_are_asked_for_after_the_trees(tmp_path: Path) -> None:
    """Also of a pack whose tree comes last, and bases that the archive has come after all."""
    tree = b"100644 b.c\0" + oid_of(BLOB, b"b")
    outer = b"outside"
    entries = [full(BLOB, b"a"), full(BLOB, b"b")]
    at = sum(map(len, entries))
    entries.append(ofs_delta(at, append(b"a", b"1")))
    at += len(entries[-1])
    entries.append(ofs_delta(at - len(entries[0]), append(b"b", b"1")))
    entries += [ref_delta(oid_of(BLOB, outer), append(outer, b"1")), full(TREE, tree)]
    path = tmp_path / "test.pack"
    path.write_bytes(pack_of(entries))
    seen: list[bytes] = []
    asked: list[bytes] = []

    def name_of(oid: bytes) -> bytes:
        assert tree in seen
        asked.append(oid)
        return b""

    with Pack(path, limits=LIMITS, scratch=tmp_path) as opened:
        external = outside({oid_of(BLOB, outer): (BLOB, outer)})
        for found in opened.objects(external, name_of):
            assert found.data is not None
            seen.append(found.data)
    assert asked == [oid_of(BLOB, b"b")]
    assert seen == [tree, b"a", b"a1", b"b", b"b1", b"outside1"]


def test_time_may_be_up_while_names_are_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "test.pack"
    path.write_bytes(chains(CHAINS))
    late = False

    def check() -> None:
        if late:
            raise OriginTimeout("enough")

    with Pack(path, limits=LIMITS, scratch=tmp_path, check=check) as opened:
        found = opened.objects(name_of=NAMED)
        assert [next(found).data for _ in range(3)] == [b"c", b"c1", b"c12"]
        late = True
        with pytest.raises(OriginTimeout):
            next(found)


@given(
    contents=st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=4), max_size=6),
    named=st.lists(st.binary(max_size=3), min_size=1),
    many_bytes=st.integers(0, 40),
)
def test_each_object_comes_once_after_its_base(
    contents: list[list[bytes]], named: list[bytes], many_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "MANY_BYTES", many_bytes)
        each_comes_once(contents, named, tmp_path_factory.mktemp("pack"))


def each_comes_once(contents: list[list[bytes]], named: list[bytes], folder: Path) -> None:
    versions = [[b"%d%s" % (n, part) for part in accumulate(parts)] for n, parts in enumerate(contents)]
    found = order_of(folder, chains(versions), lambda oid: named[oid[0] % len(named)])
    assert sorted(found) == sorted(content for chain in versions for content in chain)
    for chain in versions:
        begin = found.index(chain[0])
        assert found[begin : begin + len(chain)] == chain
