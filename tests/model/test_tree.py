from __future__ import annotations

import pytest
from dulwich.objects import Blob, Tree
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model.tree import MalformedTree, iter_entries, kind_of

NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name)
OIDS = st.binary(min_size=20, max_size=20)
ENTRIES = st.lists(st.tuples(st.integers(0, 0o177777), NAMES, OIDS), max_size=8)


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
