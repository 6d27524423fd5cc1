"""Which network an undeclared fork belongs to: by hand, for any ids, and on made networks whose parents are hidden."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.kinship import MOST_ROOTS, MOST_TIPS, Archived, Evidence, Kin, Newcomer, Tips, find_kin
from pipeline.rules.negotiation import HEAD, Ref

NEW = "https://new.example/x"
OLD, OTHER, THIRD, FOURTH = (f"https://{name}.example/x" for name in ("old", "other", "third", "fourth"))
SINCE = {url: datetime(2026, 11, day, tzinfo=UTC) for day, url in enumerate((OLD, OTHER, THIRD, FOURTH), 1)}


def oid(number: int) -> bytes:
    return number.to_bytes(20, "big")


def tips(*ids: int, head: int | None = None, tags: Mapping[int, int] | None = None) -> Tips:
    """Refs that point at commits, and annotated tags with what they point at."""
    refs = {(oid(each), oid(each)) for each in ids} | {(oid(tag), oid(to)) for tag, to in (tags or {}).items()}
    return Tips(None if head is None else oid(head), frozenset(refs))


def archived(
    commits: Mapping[int, list[str]],
    tags: Mapping[int, list[str]] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Archived:
    def by_id(found: Mapping[int, list[str]]) -> dict[bytes, list[str]]:
        return {oid(number): roots for number, roots in found.items()}

    return Archived(by_id(commits), by_id(tags or {}), SINCE, sizes or {})


def kin_of(shown: Tips, known: Archived) -> Kin | None:
    return find_kin([Newcomer(NEW, shown)], known).get(NEW)


def test_one_shared_annotated_tag_is_enough() -> None:
    known = archived({}, {100: [OLD]})
    assert kin_of(tips(1, 2, 3, 4, 5, head=1, tags={100: 50}), known) == Kin(OLD, Evidence.TAG)


def test_a_tag_is_known_as_one_even_if_the_server_does_not_tell_where_it_leads() -> None:
    assert kin_of(tips(1, 2, 3, 4, 100, head=1), archived({}, {100: [OLD]})) == Kin(OLD, Evidence.TAG)


def test_a_tag_that_was_made_again_leads_to_a_shared_commit() -> None:
    known = archived({50: [OLD]})
    assert kin_of(tips(1, head=1, tags={101: 50}), known) == Kin(OLD, Evidence.TIPS)
    assert kin_of(tips(1, 2, 3, head=1, tags={101: 50}), known) is None


def test_a_commit_at_head_is_enough() -> None:
    assert kin_of(tips(1, 2, 3, 4, 5, head=1), archived({1: [OLD]})) == Kin(OLD, Evidence.HEAD)


@pytest.mark.parametrize(("shared", "own", "found"), [(1, 1, True), (1, 2, False), (2, 3, False), (3, 40, True)])
def test_half_of_the_refs_are_enough_or_three(shared: int, own: int, found: bool) -> None:
    shown = tips(*range(shared), *range(100, 100 + own), head=100)
    assert kin_of(shown, archived({number: [OLD] for number in range(shared)})) == (
        Kin(OLD, Evidence.TIPS) if found else None
    )


def test_half_of_the_refs_of_the_smaller_one_are_enough() -> None:
    shown = tips(1, 2, 3, 100, 101, 102, head=100)
    for size, found in ((2, True), (3, False)):
        assert (kin_of(shown, archived({1: [OLD]}, sizes={OLD: size})) is not None) == found


def test_what_many_roots_have_tells_nothing() -> None:
    roots = [OLD, OTHER, THIRD, FOURTH]
    assert MOST_ROOTS == 3
    assert kin_of(tips(1, head=1), archived({1: roots}, {1: roots})) is None
    assert kin_of(tips(1, head=1), archived({1: roots[:3]})) == Kin(OLD, Evidence.HEAD)


def test_of_several_the_one_with_most_tags_then_refs_then_the_oldest() -> None:
    shown = tips(1, 2, 3, head=1, tags={100: 50})
    assert kin_of(shown, archived({1: [OLD], 2: [OLD]}, {100: [OTHER]})) == Kin(OTHER, Evidence.TAG)
    assert kin_of(shown, archived({1: [OLD, OTHER], 2: [OTHER]})) == Kin(OTHER, Evidence.HEAD)
    assert kin_of(shown, archived({1: [THIRD, OTHER]})) == Kin(OTHER, Evidence.HEAD)


def test_newcomers_are_compared_with_those_before_them() -> None:
    one = Newcomer(OLD, tips(1, 2, 3, head=1))
    assert find_kin([one, Newcomer(NEW, tips(2, 3, 4, head=4))], Archived()) == {NEW: Kin(OLD, Evidence.TIPS)}
    assert find_kin([one, Newcomer(NEW, tips(1, head=1))], Archived()) == {}, "it may be a template's first commit"
    assert find_kin([one, Newcomer(NEW, tips(2, 3, 4, 5, 6, 7, 8, head=4))], Archived()) == {
        NEW: Kin(OLD, Evidence.TIPS)
    }
    tagged = [Newcomer(OLD, tips(1, head=1, tags={100: 50})), Newcomer(NEW, tips(2, 3, 4, head=2, tags={100: 50}))]
    assert find_kin(tagged, Archived()) == {NEW: Kin(OLD, Evidence.TAG)}


def test_what_has_forks_stays_and_others_may_join_it() -> None:
    first, second = (Newcomer(url, tips(1, 2, head=1), may_move=url is NEW) for url in (OLD, NEW))
    known = archived({1: [THIRD]})
    assert find_kin([first], known) == {}
    assert find_kin([first, second], Archived()) == {NEW: Kin(OLD, Evidence.TIPS)}


def test_of_very_many_refs_some_are_looked_at_the_same_in_a_copy() -> None:
    refs = {b"refs/heads/%d" % number: Ref(oid(number)) for number in range(1000)} | {HEAD: Ref(oid(999))}
    more = refs | {b"refs/tags/v": Ref(oid(2000)), b"refs/heads/gone": Ref(None, b"refs/heads/x")}
    seen = Tips.of(more, {b"refs/tags/v": oid(5)})
    assert len(seen.refs) == MOST_TIPS
    assert seen == Tips.of(refs, {})
    assert oid(999) in seen.ids()


ROOTS = st.sampled_from([OLD, OTHER, THIRD, FOURTH])
IDS = st.integers(0, 12)
SHOWN = st.builds(
    lambda ids, head, tags: tips(*ids, head=head, tags=tags),
    st.frozensets(IDS, max_size=5),
    st.none() | IDS,
    st.dictionaries(IDS, IDS, max_size=3),
)
KNOWN = st.dictionaries(IDS, st.lists(ROOTS, unique=True, max_size=4), max_size=8)


@given(st.lists(SHOWN, max_size=6), KNOWN, KNOWN, st.randoms())
def test_whatever_is_shown(
    shown: list[Tips], commits: dict[int, list[str]], tags: dict[int, list[str]], rng: random.Random
) -> None:
    """A root shares something, is archived or stays itself, and does not depend on the order of what is known."""
    newcomers = [Newcomer(f"https://new.example/{number}", each) for number, each in enumerate(shown)]
    known = archived(commits, tags)
    kin = find_kin(newcomers, known)
    by_url = {each.url: each for each in newcomers}
    for url, found in kin.items():
        ids = by_url[url].tips.ids()
        if found.root in by_url:
            assert found.root not in kin, "no chains"
            assert ids & by_url[found.root].tips.ids()
        else:
            assert any(
                found.root in {**known.commits, **known.tags}.get(each, ()) or found.root in known.commits.get(each, ())
                for each in ids
            )
    for numbers in (commits, tags):
        for roots in numbers.values():
            rng.shuffle(roots)
    assert find_kin(newcomers, archived(commits, tags)) == kin


# 200 made networks


@dataclass
class Repo:
    """Refs of a repository: branches and lightweight tags by name, annotated tags with what they point at."""

    branches: dict[str, int]
    plain: dict[str, int] = field(default_factory=dict)
    annotated: dict[str, tuple[int, int]] = field(default_factory=dict)

    def tips(self) -> Tips:
        refs = {f"refs/heads/{name}".encode(): Ref(oid(at)) for name, at in self.branches.items()}
        refs |= {f"refs/tags/{name}".encode(): Ref(oid(at)) for name, at in self.plain.items()}
        refs |= {f"refs/tags/{name}".encode(): Ref(oid(tag)) for name, (tag, _) in self.annotated.items()}
        peeled = {f"refs/tags/{name}".encode(): oid(to) for name, (_, to) in self.annotated.items()}
        return Tips.of(refs | {HEAD: Ref(oid(self.branches["main"]))}, peeled)


class Made(NamedTuple):
    newcomers: list[Newcomer]
    archived: Archived
    truth: dict[str, str]


@dataclass
class World:
    """Networks of a parent and its forks, which do not say what they are forks of.

    Families of networks begin with the same template: its first commit alone, or all of its commits. ``diverged``: the
    share of forks with commits of their own on main, of which nothing else may be known. Two in five have some on other
    branches; of real forks 13 to 20 % are estimated to have any.
    """

    rng: random.Random
    diverged: float = 0.1
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def line(self, length: int) -> list[int]:
        return [next(self.ids) for _ in range(length)]

    def parent(self, start: list[int]) -> tuple[Repo, list[int]]:
        """A repository and its own commits, after those it begins with."""
        rng, own = self.rng, self.line(self.rng.randint(2, 60))
        repo = Repo({"main": own[-1]})
        for name in range(rng.choice([0, 0, 1, 2, 5])):
            repo.branches[f"topic-{name}"] = rng.choice([next(self.ids), rng.choice(own)])
        for name in range(rng.choice([0, 0, 2, 5, 20])):
            at = rng.choice(own)
            if rng.random() < 0.5:
                repo.annotated[f"v{name}"] = next(self.ids), at
            else:
                repo.plain[f"v{name}"] = at
        if len(start) == 1 and rng.random() < 0.3:
            repo.branches["template"] = start[0]
        return repo, own

    def fork(self, parent: Repo, own: list[int]) -> Repo:
        """As people copy: at some time, with some of its refs, and with commits, branches and tags of their own."""
        rng = self.rng
        fork = replace(
            parent, branches=dict(parent.branches), plain=dict(parent.plain), annotated=dict(parent.annotated)
        )
        if rng.random() < 0.3:
            fork.branches["main"] = rng.choice(own)  # as it was before
        if rng.random() < self.diverged:
            fork.branches["main"] = next(self.ids)
            if rng.random() < 0.3:
                fork.branches["upstream"] = parent.branches["main"]
        if rng.random() < 0.3:
            fork.branches = {name: at for name, at in fork.branches.items() if name in ("main", "upstream")}
        if rng.random() < 0.2:
            fork.annotated, fork.plain = {}, {}
        elif rng.random() < 0.2:
            fork.annotated = {name: (next(self.ids), at) for name, (_, at) in fork.annotated.items()}
        for name in range(rng.choice([0, 0, 0, 1, 2])):
            fork.branches[f"own-{name}"] = next(self.ids)
        return fork

    def make(self, networks: int, *, parents_are_archived: bool) -> Made:
        known: dict[bytes, set[str]] = {}
        tags: dict[bytes, set[str]] = {}
        since, sizes, truth, newcomers = {}, {}, {}, []
        templates = [self.line(1) for _ in range(10)] + [self.line(6) for _ in range(10)]
        for number in range(networks):
            root = f"https://root.example/{number}"
            start = self.rng.choice(templates) if number % 2 else self.line(1)
            parent, own = self.parent(start)
            if parents_are_archived:
                sizes[root] = len(parent.tips().refs)
                since[root] = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
                for commit in {*start, *own, *parent.branches.values()} - {start[0]}:  # it has no parents
                    known.setdefault(oid(commit), set()).add(root)
                for tag, _ in parent.annotated.values():
                    tags.setdefault(oid(tag), set()).add(root)
            else:
                newcomers.append(Newcomer(root, parent.tips()))
            for each in range(self.rng.randint(1, 4)):
                url = f"https://fork.example/{number}/{each}"
                newcomers.append(Newcomer(url, self.fork(parent, own).tips()))
                truth[url] = root
        return Made(newcomers, Archived(known, tags, since, sizes), truth)

    def unrelated(self, families: int, each: int) -> list[Newcomer]:
        """Families of repositories that share the first commit of a template and nothing else; half of them show it."""
        made = []
        for family in range(families):
            (first,) = self.line(1)
            for number in range(each):
                branches = {"main": self.line(1)[0]} | ({"template": first} if number % 2 else {})
                made.append(Newcomer(f"https://unrelated.example/{family}/{number}", Repo(branches).tips()))
        return made


@pytest.mark.parametrize("seed", range(5))
def test_200_made_networks_whose_parents_are_hidden(seed: int) -> None:
    world = World(random.Random(seed))
    made = world.make(200, parents_are_archived=True)
    kin = find_kin([*made.newcomers, *world.unrelated(50, 4)], made.archived)
    assert {url: made.truth.get(url) for url in kin} == {url: found.root for url, found in kin.items()}, (
        "precision is 1"
    )
    assert len(kin) / len(made.truth) >= 0.95
    assert {found.by for found in kin.values()} == set(Evidence)


@pytest.mark.parametrize("seed", range(5))
def test_200_made_networks_whose_parents_are_new_as_well(seed: int) -> None:
    """Less is found, as nothing but what they show is known, and still nothing wrong."""
    world = World(random.Random(seed))
    made = world.make(200, parents_are_archived=False)
    kin = find_kin([*made.newcomers, *world.unrelated(50, 4)], made.archived)
    home = made.truth | {root: root for root in made.truth.values()}
    assert all(home.get(url, url) == home.get(found.root) for url, found in kin.items()), "precision is 1"
    assert len(kin) / len(made.truth) >= 0.6
