from __future__ import annotations

import pytest
from dulwich.objects import Blob, Tree
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.tree import MalformedTree, iter_entries, kind_of
from tests.support.git import git, init, put, put_tree, run_git

NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name)
OIDS = st.binary(min_size=20, max_size=20)
LONG_MODES = st.builds(
    lambda zeros, high, low: "0" * zeros + high + low,
    st.sampled_from([0, 1, 30, 5000]),
    st.text("01234567", max_size=14),
    st.sampled_from(["100644", "040000", "120000", "160000", "000000", "170000", "140000", "010000", "100755"]),
)
ENTRIES = st.lists(st.tuples(st.integers(0, 0o177777), NAMES, OIDS), max_size=8)


GIT_KINDS = {"tree": "tree", "blob": "blob", "symlink": "blob", "gitlink": "commit"}


def raw_tree(modes: list[str], ids: list[str]) -> bytes:
    parts = [f"{mode} {number}".encode() + b"\0" for number, mode in enumerate(modes)]
    return b"".join(part + bytes.fromhex(oid) for part, oid in zip(parts, ids, strict=True))


def write(entries: list[tuple[int, bytes, bytes]], digits: str = "%o") -> bytes:
    return b"".join(((digits % mode).encode() + b" " + name + b"\0" + oid) for mode, name, oid in entries)


@given(ENTRIES)
def test_entries_come_back_as_written(entries: list[tuple[int, bytes, bytes]]) -> None:
    assert list(iter_entries(write(entries))) == entries


@given(ENTRIES)
def test_zero_padded_modes_are_the_same_modes(entries: list[tuple[int, bytes, bytes]]) -> None:
    assert list(iter_entries(write(entries, "%07o"))) == entries


@given(ENTRIES.filter(bool), st.data())
def test_a_tree_cut_inside_an_entry_is_malformed(entries: list[tuple[int, bytes, bytes]], data: st.DataObject) -> None:
    raw = write(entries)
    lost = data.draw(st.integers(1, len(write(entries[-1:])) - 1))
    with pytest.raises(MalformedTree) as caught:
        list(iter_entries(raw[:-lost]))
    assert str(len(raw) - lost) in str(caught.value)


@settings(max_examples=100)
@given(modes=st.lists(LONG_MODES, min_size=1, max_size=6))
@example(modes=["1" + "0" * 11, "4" + "0" * 16 + "40000", "7" * 11, "37777777777", "40000040000"])
def test_git_follows_what_we_follow(modes: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the digits of a mode, and however many: the kind of each entry and what is reachable are as in git."""
    repo = init(tmp_path_factory.mktemp("trees") / "a.git")
    ids = [put_tree(repo, ("100644", "f", put(repo, "blob", b"%d" % number))) for number in range(len(modes))]
    blobs = [put(repo, "blob", b"blob %d" % number) for number in range(len(modes))]
    kinds = [kind_of(mode) for mode, _, _ in iter_entries(raw_tree(modes, ids))]
    targets = [oid if kind == "tree" else blob for oid, blob, kind in zip(ids, blobs, kinds, strict=True)]
    root = put(repo, "tree", raw_tree(modes, targets))
    found = {root}
    for (mode, _, oid), kind in zip(iter_entries(raw_tree(modes, targets)), kinds, strict=True):
        assert kind_of(mode) == kind
        if kind != "gitlink":
            found.add(oid.hex())
        if kind == "tree":
            inner = git(repo, "cat-file", "tree", oid.hex())
            found.update(child.hex() for _, _, child in iter_entries(inner))
    assert set(git(repo, "rev-list", "--objects", "--no-object-names", root).decode().split()) == found
    listed = [line.split()[:2] for line in git(repo, "ls-tree", root).splitlines()]
    assert [kind.decode() for _, kind in listed] == [GIT_KINDS[kind] for kind in kinds]


@settings(max_examples=100)
@given(
    raw=st.lists(st.sampled_from([b"40000", b"100644", b" ", b" a", b"\0", bytes(20), b"9", b"", b"x" * 20])).map(
        b"".join
    )
)
@example(raw=b" a\0" + bytes(20))
@example(raw=b"40000 \0" + bytes(20))
@example(raw=b"40000 a\0" + bytes(19))
@example(raw=b"40000 a\0" + bytes(20) + b"4")
def test_a_tree_that_git_reads_is_read_whole(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    repo = init(tmp_path_factory.mktemp("trees") / "a.git")
    done = run_git("-C", repo, "ls-tree", "-z", "--format=%(objectname) %(path)", put(repo, "tree", raw))
    try:
        entries = [oid.hex().encode() + b" " + name for _, name, oid in iter_entries(raw)]
    except MalformedTree:
        assert done.returncode != 0
    else:
        assert (done.returncode, done.stdout.split(b"\0")[:-1]) == (0, entries)


@given(st.binary(max_size=200))
@example(b"100644 \0" + bytes(20))
@example(b"100648 a\0" + bytes(20))
@example(b" a\0" + bytes(20))
@example(b"77777777777777777 a\0" + bytes(20))
@example(b"40000 a\0" + bytes(20) + b"\n")
def test_any_bytes_are_entries_or_malformed(raw: bytes) -> None:
    try:
        entries = list(iter_entries(raw))
    except MalformedTree:
        return
    assert sum(len(name) + 21 for _, name, _ in entries) < len(raw) or not raw


@pytest.mark.parametrize("raw", [b"0 " * 500_000, b"7" * 1_000_000, b"40000 " + b"a" * 1_000_000])
def test_a_long_malformed_tree_is_refused_in_one_pass(raw: bytes) -> None:
    with pytest.raises(MalformedTree):
        list(iter_entries(raw))


def test_agrees_with_dulwich() -> None:
    tree = Tree()
    blob = Blob.from_string(b"x").id
    for mode, name in [(0o40000, b"lib"), (0o100644, b"lib.c"), (0o100755, b"\xff run"), (0o120000, b"z")]:
        tree.add(name, mode, blob)
    expected = [(mode, name, bytes.fromhex(oid.decode())) for name, mode, oid in tree.iteritems()]
    assert sorted(iter_entries(tree.as_raw_string())) == sorted(expected)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (0o40000, "tree"),
        (0o100644, "blob"),
        (0o100664, "blob"),
        (0o100755, "blob"),
        (0o120000, "symlink"),
        (0o160000, "gitlink"),
        (0o644, "gitlink"),
        (0, "gitlink"),
    ],
)
def test_kind_of(mode: int, kind: str) -> None:
    assert kind_of(mode) == kind
