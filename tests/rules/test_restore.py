"""Restored refs: as git shows them, including symbolic ones, without impossible names or objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.negotiation import HEAD, Ref, is_ref_name
from pipeline.rules.restore import Head, Layout, lay_out

A, B, C = (letter.encode() * 20 for letter in "abc")
MAIN, DEVELOP, OTHER = b"refs/heads/main", b"refs/heads/develop", b"refs/custom/x"
MASTER = Head(ref=b"refs/heads/master")


def layout(
    refs: dict[bytes, bytes],
    head: Head,
    *,
    symrefs: dict[bytes, bytes] | None = None,
    left_out: tuple[bytes, ...] = (),
    not_stored: tuple[bytes, ...] = (),
    plain: tuple[bytes, ...] = (),
) -> Layout:
    return Layout(refs, symrefs or {}, head, left_out, not_stored, plain)


def test_head_names_a_branch() -> None:
    shown = {HEAD: Ref(A, MAIN), MAIN: Ref(A), DEVELOP: Ref(B)}
    assert lay_out(shown) == layout({MAIN: A, DEVELOP: B}, Head(ref=MAIN))


def test_head_on_a_ref_that_is_not_kept_brings_it_along() -> None:
    assert lay_out({HEAD: Ref(A, OTHER), MAIN: Ref(B)}) == layout({MAIN: B, OTHER: A}, Head(ref=OTHER))


def test_unborn_detached_and_unknown_heads() -> None:
    assert lay_out({HEAD: Ref(None, OTHER)}) == layout({}, Head(ref=OTHER))
    assert lay_out({HEAD: Ref(A), MAIN: Ref(A)}) == layout({MAIN: A}, Head(oid=A))
    assert lay_out({}) == layout({}, MASTER)
    taken = {b"refs/heads/master": Ref(A), MAIN: Ref(A), b"refs/heads/unborn-0": Ref(A)}
    assert lay_out(taken).head == Head(ref=b"refs/heads/unborn-1")


def test_symbolic_refs_stay_symbolic() -> None:
    shown = {HEAD: Ref(A, MAIN), MAIN: Ref(A), DEVELOP: Ref(A, MAIN), b"refs/heads/x": Ref(B, OTHER)}
    refs = {MAIN: A, DEVELOP: A, b"refs/heads/x": B, OTHER: B}
    assert lay_out(shown) == layout(refs, Head(ref=MAIN), symrefs={DEVELOP: MAIN, b"refs/heads/x": OTHER})


def test_a_symbolic_ref_may_name_a_detached_head() -> None:
    refs = {DEVELOP: A}
    assert lay_out({HEAD: Ref(A), DEVELOP: Ref(A, HEAD)}) == layout(refs, Head(oid=A), symrefs={DEVELOP: HEAD})
    assert lay_out({HEAD: Ref(B), DEVELOP: Ref(A, HEAD)}) == layout(refs, Head(oid=B), plain=(DEVELOP,))
    assert lay_out({DEVELOP: Ref(A, HEAD)}) == layout(refs, MASTER, plain=(DEVELOP,))


def test_an_object_matters_more_than_a_link() -> None:
    """A push between two lines of an answer, or a server that lies."""
    assert lay_out({HEAD: Ref(A, MAIN), MAIN: Ref(B)}) == layout({MAIN: B}, Head(oid=A), plain=(HEAD,))
    two = {b"refs/heads/1": Ref(A, OTHER), b"refs/heads/2": Ref(B, OTHER)}
    assert lay_out(two) == layout(
        {b"refs/heads/1": A, b"refs/heads/2": B, OTHER: A},
        MASTER,
        symrefs={b"refs/heads/1": OTHER},
        plain=(b"refs/heads/2",),
    )


def test_circles_and_chains_become_plain() -> None:
    circle = {MAIN: Ref(A, DEVELOP), DEVELOP: Ref(A, MAIN), HEAD: Ref(A, HEAD)}
    assert lay_out(circle) == layout({MAIN: A, DEVELOP: A}, Head(oid=A), plain=(HEAD, DEVELOP, MAIN))
    dangling = {HEAD: Ref(A, MAIN), MAIN: Ref(None, OTHER)}
    assert lay_out(dangling) == layout({}, Head(oid=A), plain=(HEAD,))


@pytest.mark.parametrize("long", [b"refs/heads/" + b"x" * 256, b"refs/heads/" + b"deep/" * 500 + b"x"])
def test_links_that_git_could_not_follow_are_plain(long: bytes) -> None:
    shown = {HEAD: Ref(A, long), long: Ref(A), DEVELOP: Ref(A, long)}
    assert lay_out(shown) == layout({long: A, DEVELOP: A}, Head(oid=A), plain=(HEAD, DEVELOP))
    assert lay_out({HEAD: Ref(A, long)}) == layout({}, Head(oid=A), plain=(HEAD,))
    assert lay_out({HEAD: Ref(None, long)}) == layout({}, MASTER)


def test_names_that_git_refuses_are_left_out() -> None:
    funny = b"refs/heads/../../x"
    shown = {HEAD: Ref(A, b"refs/heads/a..b"), funny: Ref(B), DEVELOP: Ref(C, b"FETCH_HEAD"), b"elsewhere": Ref(A)}
    assert lay_out(shown) == layout(
        {DEVELOP: C}, Head(oid=A), left_out=(b"FETCH_HEAD", b"elsewhere", b"refs/heads/../../x", b"refs/heads/a..b")
    )


def test_refs_on_what_is_not_stored_are_left_out() -> None:
    absent = {A}
    shown = {HEAD: Ref(A, MAIN), MAIN: Ref(A), DEVELOP: Ref(B), b"refs/tags/t": Ref(A, MAIN)}
    assert lay_out(shown, absent) == layout({DEVELOP: B}, Head(ref=MAIN), not_stored=(HEAD, MAIN, b"refs/tags/t"))
    assert lay_out({HEAD: Ref(A), MAIN: Ref(B)}, absent) == layout({MAIN: B}, MASTER, not_stored=(HEAD,))
    assert lay_out({HEAD: Ref(A, MAIN), MAIN: Ref(B)}, absent) == layout({MAIN: B}, MASTER, not_stored=(HEAD,))
    assert lay_out({HEAD: Ref(B, MAIN), MAIN: Ref(A)}, absent) == layout(
        {}, Head(oid=B), not_stored=(MAIN,), plain=(HEAD,)
    )


NAMES = st.sampled_from([HEAD, b"FETCH_HEAD", b"refs/heads/a..b", OTHER, *(b"refs/heads/%d" % n for n in range(5))])
REFS = st.dictionaries(NAMES, st.builds(Ref, st.none() | st.sampled_from([A, B, C]), st.none() | NAMES))


@given(shown=REFS, absent=st.sets(st.sampled_from([A, B, C])))
def test_what_is_written_resolves_to_what_was_shown(shown: dict[bytes, Ref], absent: set[bytes]) -> None:
    found = lay_out(shown, absent)
    assert all(is_ref_name(name) for name in found.refs)
    assert absent.isdisjoint(found.refs.values())
    head = found.head.oid if found.head.ref is None else found.refs.get(found.head.ref)
    for name, to in found.symrefs.items():
        assert found.refs[name] == (head if to == HEAD else found.refs[to])
        assert to not in found.symrefs
    for name, ref in shown.items():
        if name in found.left_out or name in found.not_stored or ref.target is None:
            continue
        assert (head if name == HEAD else found.refs[name]) == ref.target
        kept = found.symrefs.get(name) == ref.symref or (name == HEAD and found.head.ref == ref.symref)
        assert ref.symref is None or kept or name in found.plain or ref.symref in found.left_out
