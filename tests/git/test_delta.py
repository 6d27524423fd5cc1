"""Deltas, and packs of them, judged by dulwich and C git."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from dulwich.pack import apply_delta
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git import delta_window
from pipeline.git.delta import make_delta, shared_ends
from pipeline.git.delta_window import DEEPEST
from pipeline.git.pack_writer import ObjectDamaged, PackWriter, writing_part
from pipeline.model.objects import BLOB, TREE, GitObject, ObjectType, object_id
from tests.support.git import git
from tests.support.repos import init

PIECES = st.sampled_from([b"", b"\n", b"a\n", b"one line\n", b"another longer line of text\n", b"x" * 300, b"\0\xff"])
TEXTS = st.lists(PIECES, max_size=40).map(b"".join)
NAMES = st.sampled_from([b"a", b"src", b"README.md"])
TREES = st.lists(
    st.builds(lambda name, oid: b"100644 %s\0%s" % (name, oid), NAMES, st.binary(min_size=20, max_size=20)), max_size=20
).map(b"".join)


def applied(base: bytes, target: bytes, *, tree: bool) -> bytes:
    return b"".join(apply_delta(base, make_delta(base, target, shared_ends(base, target), tree=tree)))


@given(TEXTS, TEXTS)
def test_a_delta_gives_the_target(base: bytes, target: bytes) -> None:
    assert applied(base, target, tree=False) == target


@given(TREES | TEXTS, TREES | TEXTS)
def test_a_delta_of_trees_gives_the_target(base: bytes, target: bytes) -> None:
    assert applied(base, target, tree=True) == target


@given(
    st.binary(min_size=1, max_size=400), st.lists(st.tuples(st.integers(0, 399), st.binary(max_size=30)), max_size=8)
)
def test_a_delta_of_data_of_one_size_gives_the_target(base: bytes, edits: list[tuple[int, bytes]]) -> None:
    target = base
    for at, new in edits:
        target = (target[:at] + new + target[at + len(new) :])[: len(base)]
    assert applied(base, target, tree=False) == target


def test_an_edit_in_place_costs_its_bytes() -> None:
    base = Random(3).randbytes(100_000).replace(b"\n", b" ")
    target = base[:20_000] + b"some" + base[20_004:70_000] + b"others" + base[70_006:]
    assert len(make_delta(base, target, shared_ends(base, target), tree=False)) < 50


def test_lines_that_moved_in_a_file_of_one_size_are_found() -> None:
    lines = [b"%s\n" % Random(number).randbytes(40).hex().encode() for number in range(400)]
    base, target = (b"".join([b"begin\n", *order, b"end\n"]) for order in (lines, lines[3:] + lines[:3]))
    assert len(base) == len(target)
    assert len(make_delta(base, target, shared_ends(base, target), tree=False)) < 250


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_too_many_lines_are_inserted(end: bytes) -> None:
    base, target = end * 100_001 + b"line" + end, b"x" + end * 100_002 + b"y"
    assert len(make_delta(base, target, shared_ends(base, target), tree=False)) > 100_002
    assert applied(base, target, tree=False) == target


def test_long_copies_and_offsets_beyond_three_bytes() -> None:
    base = Random(1).randbytes((16 << 20) + 70_000)
    target = base[:70_000] + b"new" + base[70_000:]
    delta = make_delta(base, target, shared_ends(base, target), tree=False)
    assert b"".join(apply_delta(base, delta)) == target
    assert len(delta) < 3_000


def test_an_edit_costs_its_lines() -> None:
    lines = [b"line %d of the file\n" % number for number in range(2_000)]
    changed = [*lines[:50], b"new\n", *lines[50:900], *lines[905:1_500], b"other\n", *lines[1_501:]]
    base, target = b"".join(lines), b"".join(changed)
    assert len(make_delta(base, target, shared_ends(base, target), tree=False)) < 60


def blob(body: bytes) -> GitObject:
    return GitObject(BLOB, object_id(BLOB, body), body)


def versions(count: int) -> list[GitObject]:
    """A file that changes a little each time."""
    random = Random(2)
    lines = [b"%d\n" % random.randrange(10**9) for _ in range(200)]
    found = []
    for number in range(count):
        lines[random.randrange(200)] = b"changed %d\n" % number
        found.append(blob(b"".join(lines)))
    return found


def chains(repo: Path) -> Counter[int]:
    """Number of objects by the length of their chains, as C git sees them in a checked pack."""
    (index,) = repo.glob("objects/pack/*.idx")
    git(repo, "index-pack", "--strict", str(index.with_suffix(".pack")))
    told = git(repo, "verify-pack", "-v", str(index)).decode()
    lengths = {int(depth): int(count) for depth, count in re.findall(r"^chain length = (\d+): (\d+) obj", told, re.M)}
    return Counter(lengths | {0: int(re.findall(r"^non delta: (\d+) obj", told, re.M)[0])})


def test_versions_of_a_file_are_short_chains_of_deltas(tmp_path: Path) -> None:
    repo = init(tmp_path / "a.git")
    found = versions(3 * DEEPEST)
    with PackWriter(repo / "objects" / "pack") as pack:
        for version in found:
            pack.add(version, "a.py")
        size = pack.finish()
    assert size < sum(len(version.body) for version in found) / 20
    lengths = chains(repo)
    assert max(lengths) == DEEPEST
    assert lengths[0] <= 4
    for version in found:
        assert git(repo, "cat-file", "blob", version.oid.hex()) == version.body


def test_the_window_counts_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and books take more than small objects themselves."""
    monkeypatch.setattr(delta_window, "_HELD_BYTES", 1 << 20)
    random = Random(3)
    for each in (1, 6):
        tracemalloc.start()
        try:
            window = delta_window.DeltaWindow()
            for number in range(6_000):
                for _ in range(each):
                    window.remember(BLOB, f"{number}", random.randbytes(60), number, 0)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 1.3 * (1 << 20)


def test_other_names_are_no_bases(tmp_path: Path) -> None:
    repo = init(tmp_path / "a.git")
    with PackWriter(repo / "objects" / "pack") as pack:
        for number, version in enumerate(versions(5)):
            pack.add(version, f"{number}.py")
        pack.finish()
    assert chains(repo) == {0: 5}


def test_directories_are_deltas_of_each_other(tmp_path: Path) -> None:
    repo = init(tmp_path / "a.git")
    file = blob(b"x\n")
    with PackWriter(repo / "objects" / "pack") as pack:
        pack.add(file)
        for number in range(4):
            names = sorted([*(b"file%03d" % n for n in range(30)), b"new%d" % number])
            body = b"".join(b"100644 %s\0%s" % (name, file.oid) for name in names)
            pack.add(GitObject(TREE, object_id(TREE, body), body))
        pack.finish()
    assert chains(repo)[0] == 2


def test_parts_become_one_pack(tmp_path: Path) -> None:
    repo = init(tmp_path / "a.git")
    found = versions(30)
    parts = []
    for number in range(3):
        with writing_part(tmp_path / str(number)) as (writer, done):
            for version in found[number * 10 : number * 10 + 10]:
                assert writer.add(version, "a.py")
                assert not writer.add(version, "a.py")
            parts.append(done())
    with PackWriter(repo / "objects" / "pack") as pack:
        pack.add(blob(b"something before\n"))
        for part in parts:
            pack.append(part)
        assert found[0].oid in pack
        pack.finish()
    assert chains(repo)[0] == 4
    for version in found:
        assert git(repo, "cat-file", "blob", version.oid.hex()) == version.body


@pytest.mark.parametrize("type_", [BLOB, TREE])
def test_damaged_objects_are_refused(tmp_path: Path, type_: ObjectType) -> None:
    repo = init(tmp_path / "a.git")
    with (
        PackWriter(repo / "objects" / "pack") as pack,
        pytest.raises(ObjectDamaged, match=f"{type_.text} .* is damaged"),
    ):
        pack.add(GitObject(type_, bytes(20), b"other bytes"))
