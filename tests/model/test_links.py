"""Links of commits and tags are what git itself reads and what the columns hold, for any bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.commit import parse_commit
from pipeline.model.links import CommitLinks, commit_links, parse_oid, tag_link, tagged
from pipeline.model.tag import parse_tag
from tests.model.strategies import HOSTILE
from tests.support.git import init, put, run_git

ONE, TWO, TREE = b"1" * 40, b"2" * 40, b"a" * 40
ID = {digits: bytes.fromhex(digits.decode()) for digits in (ONE, TWO, TREE)}

# Bodies that go wrong somewhere after a good beginning.
_IDS = st.sampled_from([ONE, TWO, b"F" * 40, b"1" * 39, b"1" * 41, b"11 " * 20, b"zz", b"1" * 39 + b"g", b""])
LINKS = st.builds(
    lambda words, rest: b"".join(b"%s %s\n" % word for word in words) + rest,
    st.lists(st.tuples(st.sampled_from([b"tree", b"parent", b"parent", b"object", b"author"]), _IDS), max_size=6),
    st.sampled_from([b"", b"author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n", b"parent " + ONE, b"\n", b"x"]),
)
COMMITS = HOSTILE | LINKS | LINKS.map(lambda rest: b"tree " + TREE + b"\n" + rest)


@given(COMMITS)
@example(b"tree " + TREE + b"\nparent zz\nparent " + ONE + b"\n")
@example(b"tree " + TREE + b"\nparent " + b"11 " * 13 + b"1\nparent " + ONE + b"\n")
@example(b"parent " + ONE + b"\n")
def test_columns_and_links_are_the_same(raw: bytes) -> None:
    commit, links = parse_commit(raw), commit_links(raw)
    assert (commit.tree, commit.parents) == (links.tree, links.parents)
    assert parse_tag(raw).target == tag_link(raw).target
    found = tagged(raw)
    assert found is None or found[0] == tag_link(raw).target


@settings(max_examples=150)
@given(raw=COMMITS)
def test_a_commit_that_git_reads_has_the_links_that_git_reads(
    raw: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    links = commit_links(raw)
    repo = init(tmp_path_factory.mktemp("links") / "a.git")
    done = run_git("-C", repo, "rev-list", "--no-walk", "--format=%T %P", put(repo, "commit", raw))
    if done.returncode == 0:
        tree, *parents = done.stdout.splitlines()[1].split()
        assert links.tree == bytes.fromhex(tree.decode())
        assert links.parents == [bytes.fromhex(parent.decode()) for parent in parents]


def test_reading_ends_at_the_first_line_that_is_no_link() -> None:
    start = b"tree " + TREE + b"\nparent " + ONE + b"\n"
    expected = CommitLinks(ID[TREE], [ID[ONE]], len(start))
    for rest in (b"", b"parent " + TWO, b"parent zz\nparent " + TWO + b"\n", b"parent  " + TWO + b"\n", b"\0"):
        assert commit_links(start + rest) == expected
    assert commit_links(start + b"parent " + TWO + b"\n").parents == [ID[ONE], ID[TWO]]


@pytest.mark.parametrize("digits", [b"", b"1" * 38, b"1" * 80, b" " + b"1" * 39, b"11 " * 14, b"1" * 39 + b"\xb2"])
def test_an_id_is_forty_digits_and_nothing_else(digits: bytes) -> None:
    assert parse_oid(digits) is None
    assert tag_link(b"object " + digits + b"\ntype commit\ntag x\n\nlong enough\n").target is None


def test_a_million_parents_are_read() -> None:
    raw = b"tree " + TREE + b"\n" + (b"parent " + ONE + b"\n") * 1_000_000 + b"\n"
    commit = parse_commit(raw)
    assert (len(commit.parents), commit.raw) == (1_000_000, raw)
