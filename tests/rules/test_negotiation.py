"""What one origin must send, from the refs it shows and what is archived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.bucket_plan import BucketPlan, PlannedOrigin
from pipeline.fetch.common_ground import CommonGround
from pipeline.rules.negotiation import (
    HEAD,
    MAX_OFFERS,
    NAMES_SHOWN,
    SHOWN_CHARACTERS,
    FetchPlan,
    Ref,
    Shown,
    changed_refs,
    describe_left_out,
    is_ref_name,
    plan_fetch,
    shown_refs,
    wanted_refs,
)
from tests.support.git import run_git
from tests.support.prefixes import PREFIXES

A, B, C = (letter.encode() * 20 for letter in "abc")


def test_only_what_is_not_archived_is_wanted() -> None:
    advertised = {b"refs/heads/a": B, b"refs/heads/b": A, b"refs/tags/same": A, b"refs/heads/known": C}
    assert plan_fetch(advertised, {C}, [C, B, C]) == FetchPlan((A, B), (C, B))


def test_nothing_to_ask_for_offers_nothing() -> None:
    assert plan_fetch({b"refs/heads/a": A}, {A}, [A]) == FetchPlan((), ())
    assert plan_fetch({}, set(), [A]) == FetchPlan((), ())


def test_offers_end_where_git_gives_up() -> None:
    offers = [b"%020d" % n for n in range(1000)]
    assert plan_fetch({b"refs/heads/a": A}, set(), offers).offers == tuple(offers[:MAX_OFFERS])
    assert plan_fetch({b"refs/heads/a": A}, set(), offers, max_offers=2).offers == tuple(offers[:2])


def test_refs_outside_the_prefixes_and_peeled_ones_are_dropped() -> None:
    names = [
        b"HEAD",
        b"refs/heads/a",
        b"refs/tags/v1",
        b"refs/tags/v1^{}",
        b"refs/pull/1/head",
        b"refs/headsX",
        b"HEAD^{}",
    ]
    names += [b"refs/heads", b"refs/heads/HEAD", b"REFS/HEADS/a", b""]
    advertised = dict.fromkeys(names, A)
    assert set(wanted_refs(advertised, PREFIXES)) == {
        b"HEAD",
        b"refs/heads/a",
        b"refs/heads/HEAD",
        b"refs/tags/v1",
    }
    assert set(wanted_refs(advertised, [b"refs/pull/"])) == {b"refs/pull/1/head"}
    assert wanted_refs(advertised, []) == {}


FUNNY = (
    b"refs/heads/a..b",
    b"refs/heads/../../x",
    b"refs/heads/a/",
    b"refs/heads//a",
    b"refs/heads/.a",
    b"refs/heads/a.",
    b"refs/heads/a.lock",
    b"refs/heads/a.lock/b",
    b"refs/heads/@{a",
    b"refs/heads/a\0b",
    b"refs/heads/a\nb",
    b"refs/heads/a b",
    b"refs/heads/\x7f",
    b"refs/heads/a~1",
    b"refs/heads/*",
)
FINE = (b"refs/heads/-x", b"refs/heads/HEAD", b"refs/heads/@", b"refs/heads/\xff", b"refs/heads/" + b"a" * 60_000)


def test_funny_names_are_left_out_and_wanted_from_nobody() -> None:
    advertised = dict.fromkeys((b"HEAD", *FUNNY, *FINE), A)
    assert set(wanted_refs(advertised, [b"HEAD", b"refs/"])) == {HEAD, *FINE}
    refs = {name: Ref(A) for name in (HEAD, *FINE)}
    assert shown_refs(advertised, {}, [b"HEAD", b"refs/"]) == Shown(refs, tuple(sorted(FUNNY)))
    assert shown_refs(advertised, {}, [b"refs/tags/"]) == Shown({}, ())


def test_a_symbolic_ref_to_a_funny_name_is_a_plain_one() -> None:
    advertised: dict[bytes, bytes | None] = {HEAD: A, b"refs/heads/s": A, b"refs/heads/t": B, b"refs/heads/u": None}
    symrefs = {HEAD: b"refs/heads/a..b", b"refs/heads/s": b"FETCH_HEAD", b"refs/heads/t": HEAD}
    assert shown_refs(advertised, symrefs, PREFIXES) == Shown(
        {HEAD: Ref(A), b"refs/heads/s": Ref(A), b"refs/heads/t": Ref(B, HEAD)}, (b"FETCH_HEAD", b"refs/heads/a..b")
    )


def test_a_head_is_kept_only_if_it_says_something() -> None:
    unborn: dict[bytes, bytes | None] = {HEAD: None}
    assert shown_refs(unborn, {HEAD: b"refs/heads/x"}, [HEAD]).refs == {HEAD: Ref(None, b"refs/heads/x")}
    assert shown_refs(unborn, {HEAD: b"refs/heads/x.lock"}, [HEAD]) == Shown({}, (b"refs/heads/x.lock",))
    assert shown_refs(unborn, {HEAD: HEAD}, [HEAD]) == shown_refs(unborn, {}, [HEAD]) == Shown({}, ())


@given(
    st.lists(st.sampled_from([b"a", b".", b"/", b"@", b"{", b".lock", b"\xe9", b"~", b" ", b"-", b"\x7f"])).map(
        b"".join
    )
)
def test_names_are_judged_as_git_judges_them(name: bytes) -> None:
    name = b"refs/" + name
    assert is_ref_name(name) == (run_git("check-ref-format", name).returncode == 0)


@pytest.mark.parametrize("name", [*(name for name in FUNNY if b"\0" not in name), *FINE[:-1]])
def test_the_names_above_are_judged_as_git_judges_them(name: bytes) -> None:
    assert is_ref_name(name) == (run_git("check-ref-format", name).returncode == 0)


def test_what_is_left_out_is_told_in_a_short_line() -> None:
    assert describe_left_out([]) == ""
    assert describe_left_out([b"refs/heads/a..b"]) == "1 ref has a name that git refuses, left out: refs/heads/a..b"
    told = describe_left_out([b"refs/heads/\x1b[2J\xff'", b"b" * 100, b"\0" * 60_000, *[b"d"] * 99_997])
    assert told.startswith("100000 refs have names that git refuses, left out: refs/heads/\\x1b[2J\\xff', bbb")
    assert told.endswith(", ...")
    assert told.isprintable()
    assert len(told) < 60 + NAMES_SHOWN * (SHOWN_CHARACTERS + 5)


def test_changes_are_new_moved_and_vanished_refs() -> None:
    last = {b"a": Ref(A), b"b": Ref(B), b"c": Ref(C), HEAD: Ref(A, b"a")}
    seen = {b"a": Ref(A), b"b": Ref(C), b"d": Ref(A), HEAD: Ref(A, b"d")}
    assert changed_refs(seen, last) == {
        b"b": Ref(C),
        b"c": Ref(None),
        b"d": Ref(A),
        HEAD: Ref(A, b"d"),
    }
    assert changed_refs(last, last) == {}
    assert changed_refs({HEAD: Ref(None, b"refs/heads/main")}, {}) == {HEAD: Ref(None, b"refs/heads/main")}


IDS = st.integers(0, 12).map(lambda n: b"%020d" % n)
NAMES = st.sampled_from([HEAD, *(b"refs/heads/%d" % n for n in range(6)), *(b"refs/tags/%d" % n for n in range(6))])
REFS = st.dictionaries(NAMES, st.builds(Ref, IDS, st.none() | NAMES))


@given(advertised=st.dictionaries(NAMES, IDS), archived=st.sets(IDS), offers=st.lists(IDS))
def test_planned_twice_fetches_nothing(
    advertised: dict[bytes, bytes], archived: set[bytes], offers: list[bytes]
) -> None:
    first = plan_fetch(advertised, archived, offers)
    assert list(first.wants) == sorted(set(first.wants))
    assert not set(first.wants) & archived
    assert set(first.wants) | archived >= set(advertised.values())
    assert plan_fetch(advertised, archived | set(first.wants), offers) == FetchPlan((), ())


@given(seen=REFS, last=REFS)
def test_changes_lead_from_one_night_to_the_next(seen: dict[bytes, Ref], last: dict[bytes, Ref]) -> None:
    after = last | changed_refs(seen, last)
    assert {name: ref for name, ref in after.items() if ref != Ref(None)} == seen
    assert changed_refs(seen, seen) == {}


def origin(url: str, fork_of: str | None = None, network: int = 1) -> PlannedOrigin:
    return PlannedOrigin(url, fork_of, network, True, False)


def ground_of(shown: dict[str, dict[bytes, Ref]]) -> CommonGround:
    ground = CommonGround()
    for url, refs in shown.items():
        for name, ref in sorted(refs.items()):
            ground.note(name, ref, of_root=url == "root")
    return ground


def test_offers_begin_with_the_origin_itself_and_end_with_tags() -> None:
    ids = iter(b"%020d" % n for n in range(100))
    names = [b"refs/tags/t", b"refs/heads/b", HEAD]
    shown = {url: {name: Ref(next(ids)) for name in names} for url in ("another", "fork", "root")}
    shown["fork"][b"refs/heads/gone"] = Ref(None, b"x")
    order = [
        shown[url][name].target
        for kind in ([HEAD, b"refs/heads/b"], [b"refs/tags/t"])
        for url in ("fork", "root", "another")
        for name in kind
    ]
    ground = ground_of(shown)
    assert list(dict.fromkeys(ground.offers(shown["fork"]))) == order
    ground.renew_root()
    assert set(order) - set(ground.offers(shown["fork"])) == {ref.target for ref in shown["root"].values()}
    assert ground.tips == set(order), "it is archived all the same"


@given(refs=st.lists(REFS, min_size=1, max_size=4))
def test_offers_are_the_networks_targets(refs: list[dict[bytes, Ref]]) -> None:
    ground = ground_of({f"o{n}": found for n, found in enumerate(refs)})
    expected = {ref.target for found in refs for ref in found.values()} - {None}
    assert set(ground.offers(refs[-1])) == ground.tips == expected


def test_what_is_kept_to_offer_is_enough_however_many_forks_there_are() -> None:
    """The root's branches are offered although a fork that is noted before it has more than can be offered."""
    shown = {
        url: {b"refs/heads/%04d" % n: Ref(b"%s%019d" % (url.encode()[:1], n)) for n in range(1000)}
        for url in ("fork", "other", "root")
    }
    offers = list(ground_of(shown).offers({HEAD: Ref(b"o" * 20)}))
    assert offers[0] == b"o" * 20
    assert offers[1 : MAX_OFFERS + 1] == [ref.target for ref in shown["root"].values()][:MAX_OFFERS]
    assert len(offers) == 1 + 2 * MAX_OFFERS


def test_networks_come_with_their_root_first() -> None:
    origins = [origin("b", "z"), origin("y", None, 2), origin("a", "z"), origin("z")]
    plan = BucketPlan(0, tuple(origins))
    assert [(network, [o.url for o in found]) for network, found in plan.networks()] == [
        (1, ["z", "a", "b"]),
        (2, ["y"]),
    ]
