"""Which root an undeclared fork is a copy of: by hand, for any refs, on real ones, and on made networks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.kinship import MOST_REFS, Root, Tip, Tips, find_kin
from pipeline.rules.negotiation import HEAD, Ref

NEW = "https://new.example/x"
OLD, OTHER = ROOTS = [f"https://{name}.example/x" for name in ("old", "other")]


def oid(number: int) -> bytes:
    return number.to_bytes(20, "big")


def tips(tags: Mapping[str, tuple[int, int]] | None = None, /, **branches: int) -> Tips:
    """Branches and what they point at; annotated tags with what they are and lead to."""
    refs = [Tip(name.encode(), oid(at), oid(at)) for name, at in branches.items()]
    return Tips([*refs, *(Tip(name.encode(), oid(tag), oid(to)) for name, (tag, to) in (tags or {}).items())])


def root(url: str, shown: Tips) -> Root:
    return Root(url, shown.commits, shown.refs)


def kin_of(shown: Tips, *roots: Root) -> str | None:
    return find_kin({NEW: shown}, roots).get(NEW)


def test_two_shared_commits_are_needed_with_that_at_head() -> None:
    archived = root(OLD, tips(HEAD=1, main=1, v1=2))
    assert kin_of(tips(HEAD=1, main=1, v1=2), archived) == OLD
    assert kin_of(tips(HEAD=1, main=1), archived) is None, "it is one commit"


def test_three_are_needed_without_that_at_head() -> None:
    archived = root(OLD, tips(HEAD=1, v1=2, v2=3, v3=4))
    assert kin_of(tips(HEAD=9, v1=2, v2=3, v3=4), archived) == OLD
    assert kin_of(tips(HEAD=9, v1=2, v2=3), archived) is None


def test_two_are_enough_if_the_root_shows_no_others_and_the_newcomer_little_else() -> None:
    archived = root(OLD, tips(HEAD=1, v1=2, v2=3))
    assert kin_of(tips(HEAD=9, v1=2, v2=3), archived) == OLD
    assert kin_of(tips(HEAD=9, v1=2, v2=3, own=10, more=11), archived) == OLD
    assert kin_of(tips(HEAD=9, v1=2, v2=3, a=10, b=11, c=12), archived) is None, "tags of a library that it fetched"
    assert kin_of(tips(HEAD=9, v1=2), root(OLD, tips(HEAD=1, v1=2))) is None, "one is not"


def test_a_tag_and_what_it_leads_to_are_one_commit() -> None:
    tagged = {"v1": (100, 1)}
    assert kin_of(tips(tagged, HEAD=1), root(OLD, tips(tagged, HEAD=1))) is None
    assert kin_of(tips(tagged, HEAD=2), root(OLD, tips(tagged, HEAD=2))) == OLD


def test_a_tag_is_the_same_made_anew_or_if_a_server_does_not_tell_where_it_leads() -> None:
    archived = root(OLD, tips({"v1": (100, 1), "v2": (101, 2)}, HEAD=3))
    assert kin_of(tips({"v1": (200, 1), "v2": (201, 2)}, HEAD=3), archived) == OLD
    assert kin_of(tips({"v1": (100, 100), "v2": (101, 101)}, HEAD=3), archived) == OLD


def test_refs_of_other_names_do_not_count() -> None:
    archived = root(OLD, tips(HEAD=1, v1=2, v2=3))
    assert kin_of(tips(HEAD=9, vendor=1, old_v1=2, old_v2=3), archived) is None


@pytest.mark.parametrize(("shared", "mine", "its", "found"), [(3, 3, 9, True), (3, 9, 3, True), (3, 4, 4, False)])
def test_half_of_the_refs_of_the_smaller_one_are_needed(shared: int, mine: int, its: int, found: bool) -> None:
    both = {f"both{number}": number for number in range(shared)}
    one = tips(None, **both, **{f"own{number}": 100 + number for number in range(mine)})
    other = tips(None, **both, **{f"own{number}": 200 + number for number in range(its)})
    assert (kin_of(one, root(OLD, other)) == OLD) == found
    assert (kin_of(other, root(OLD, one)) == OLD) == found, "either may be the archived one"


def test_of_several_the_one_that_shares_all_that_others_share_and_more() -> None:
    shown, less = tips(HEAD=1, v1=2, v2=3), tips(HEAD=4, v1=2, v2=3)
    assert kin_of(shown, root(OLD, less), root(OTHER, shown)) == OTHER
    assert kin_of(shown, root(OTHER, shown), root(OLD, shown)) is None, "it may be a copy of either"
    assert kin_of(shown, root(OLD, shown), root(OTHER, tips(a=1, b=2, c=3))) is None, "whatever refs are called there"


def test_what_brings_several_histories_together_is_nobodys_copy() -> None:
    one, other = root(OLD, tips(a=1, b=2, c=3)), root(OTHER, tips(HEAD=4, e=5))
    assert kin_of(tips(HEAD=9, a=1, b=2, c=3), one, other) == OLD
    assert kin_of(tips(HEAD=9, a=1, b=2, c=3, e=5), one, other) is None
    assert kin_of(tips(HEAD=9, a=1, b=2, c=3, vendor=4), one, other) is None, "whatever the ref is called"


def test_nothing_is_a_copy_of_itself() -> None:
    shown = tips(HEAD=1, v1=2)
    assert kin_of(shown, root(NEW, shown)) is None


def test_of_very_many_refs_some_are_looked_at_the_same_in_a_copy() -> None:
    refs = {b"refs/heads/%d" % number: Ref(oid(number)) for number in range(1000)} | {HEAD: Ref(oid(0))}
    more = refs | {b"refs/tags/v": Ref(oid(2000)), b"refs/heads/gone": Ref(None, b"refs/heads/x")}
    seen = Tips.of(more | {b"refs/heads/" + b"n" * 300: Ref(oid(0))}, {b"refs/tags/v": oid(5)})
    assert len(seen.refs) == MOST_REFS
    assert seen == Tips.of(refs, {})
    assert kin_of(seen, Root(OLD, 1001, Tips.of(refs, {}).refs)) == OLD


def test_tips_have_where_annotated_tags_lead() -> None:
    seen = Tips.of({b"refs/tags/v": Ref(oid(9)), b"refs/heads/main": Ref(oid(5))}, {b"refs/tags/v": oid(5)})
    assert set(seen.refs) == {(b"refs/tags/v", oid(9), oid(5)), (b"refs/heads/main", oid(5), oid(5))}
    assert (seen.ids, seen.commits) == ({oid(5), oid(9)}, 1)


# Refs of github.com/boltdb/bolt and github.com/etcd-io/bbolt, a fork of it that GitHub does not call one, in November
# 2026; some digits of each id.
BOLT = {
    "HEAD": "fd01fc79", "heads/master": "fd01fc79", "tags/data/v1": "d8ec4f92", "tags/v1.0": "aa665060",
    "tags/v1.1.0": "ee716d14", "tags/v1.2.0": "c6ba97b8", "tags/v1.2.1": "dfb21201", "tags/v1.3.0": "583e8937",
    "tags/v1.3.1": "2f1ce7a8",
}  # fmt: skip
BBOLT = {
    "HEAD": "4e65d8fd", "heads/main": "4e65d8fd", "heads/release-1.3": "391c35e7", "heads/release-1.4": "8292563e",
    "heads/release-1.5": "508b326b", "tags/data/v1": "d8ec4f92", "tags/v1.0": "aa665060", "tags/v1.1.0": "ee716d14",
    "tags/v1.2.0": "c6ba97b8", "tags/v1.2.1": "dfb21201", "tags/v1.3.0": "583e8937", "tags/v1.3.1-coreos.0": "12923fe5",
    "tags/v1.3.1-coreos.1": "e1c92081", "tags/v1.3.1-coreos.2": "54f6fad6", "tags/v1.3.1-coreos.3": "3c6cbfb2",
    "tags/v1.3.1-coreos.4": "f4ebd07c", "tags/v1.3.1-coreos.5": "32c383e7", "tags/v1.3.1-coreos.6": "48ea1b39",
    "tags/v1.3.1-etcd.7": "a4a65cc1", "tags/v1.3.1-etcd.8": "ca99f733", "tags/v1.3.10": "147373e2",
    "tags/v1.3.11": "1cbe0f82", "tags/v1.3.12": "cf1b1b78", "tags/v1.3.2": "63597a96", "tags/v1.3.3": "a0458a2b",
    "tags/v1.3.4": "9866085a", "tags/v1.3.5": "31602096", "tags/v1.3.6": "32406da5", "tags/v1.3.7": "e88156ff",
    "tags/v1.3.8": "74bfdc2d", "tags/v1.3.9": "1cf7ab8d", "tags/v1.4.0": "210f81d1", "tags/v1.4.0-alpha.0": "9641b07c",
    "tags/v1.4.0-alpha.1": "6caeec5b", "tags/v1.4.0-beta.0": "3235bf61", "tags/v1.4.1": "0f7b7df3",
    "tags/v1.4.2": "b7cc9b26", "tags/v1.4.3": "b92c7f6e", "tags/v1.5.0": "18bfb4b4", "tags/v1.5.0-beta.0": "4e589857",
    "tags/v1.5.0-rc.0": "763e8a06",
}  # fmt: skip


def test_bolt_and_bbolt_are_found_whichever_is_archived() -> None:
    bolt, bbolt = (tips(None, **{name: int(digits, 16) for name, digits in refs.items()}) for refs in (BOLT, BBOLT))
    stranger = root(OTHER, tips(None, **dict.fromkeys(BBOLT, 7)))
    assert kin_of(bbolt, root(OLD, bolt), stranger) == OLD
    assert kin_of(bolt, root(OLD, bbolt), stranger) == OLD


IDS, NAMES = st.integers(0, 12), st.sampled_from([*"abcde", "HEAD"])
SHOWN = st.builds(
    lambda branches, tags: tips(tags, **branches),
    st.dictionaries(NAMES, IDS, max_size=5),
    st.dictionaries(st.sampled_from("uvwx"), st.tuples(st.integers(20, 25), IDS), max_size=3),
)


@given(st.lists(SHOWN, max_size=5), st.dictionaries(st.sampled_from(ROOTS), SHOWN, max_size=2), st.randoms())
def test_whatever_is_shown(shown: list[Tips], archived: dict[str, Tips], rng: random.Random) -> None:
    """A root is archived and shows two of the commits by the same names. Neither order nor other newcomers matter."""
    newcomers = {f"https://new.example/{number}": each for number, each in enumerate(shown)}
    roots = [root(url, each) for url, each in archived.items()]
    kin = find_kin(newcomers, roots)
    for url, found in kin.items():
        pairs = {(tip.name, tip.target) for tip in newcomers[url].refs} | {
            (tip.name, tip.commit) for tip in newcomers[url].refs
        }
        both = {tip.commit for tip in archived[found].refs if {(tip.name, tip.target), (tip.name, tip.commit)} & pairs}
        assert len(both) >= 2
        assert find_kin({url: newcomers[url]}, roots) == {url: found}
    rng.shuffle(roots)
    assert find_kin(newcomers, roots) == kin


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
    newcomers: dict[str, Tips]
    parents: dict[str, Repo]
    truth: dict[str, str]


@dataclass
class World:
    """Networks of a parent and its forks, which do not say what they are forks of, among many that are no forks.

    ``diverged``: the share of forks with commits of their own on main. Two in five have some on other branches; of real
    forks 13 to 20 % are estimated to have any.
    """

    rng: random.Random
    diverged: float = 0.15
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def line(self, length: int) -> list[int]:
        return [next(self.ids) for _ in range(length)]

    def parent(self, fewest: int = 2) -> tuple[Repo, list[int]]:
        """A repository with at least so many branches or tags beside main, and its commits."""
        rng, own = self.rng, self.line(self.rng.randint(30, 90))
        repo, spots = Repo({"main": own[-1]}), iter(rng.sample(own[:-1], 28))
        topics, tags = rng.choice([0, 1, 2, 5]), rng.choice([0, 2, 5, 20])
        for name in range(max(topics, fewest - tags)):
            repo.branches[f"topic-{name}"] = rng.choice([next(self.ids), next(spots)])
        for name in range(tags):
            if rng.random() < 0.5:
                repo.annotated[f"v{name}"] = next(self.ids), next(spots)
            else:
                repo.plain[f"v{name}"] = next(spots)
        return repo, own

    def fork(self, parent: Repo, own: list[int]) -> Repo:
        """As people copy: at some time, with some of its refs, and with commits, branches and tags of their own."""
        rng = self.rng
        fork = replace(
            parent, branches=dict(parent.branches), plain=dict(parent.plain), annotated=dict(parent.annotated)
        )
        if rng.random() < 0.2:
            fork.branches["main"] = rng.choice(own)  # as it was before
        if rng.random() < self.diverged:
            fork.branches["main"] = next(self.ids)
        if rng.random() < 0.1 and len(fork.plain) + len(fork.annotated) > 2:
            fork.branches = {"main": fork.branches["main"]}
        if rng.random() < 0.2:
            fork.annotated = {name: (next(self.ids), at) for name, (_, at) in fork.annotated.items()}
        for name in range(rng.choice([0, 0, 0, 1, 2])):
            fork.branches[f"own-{name}"] = next(self.ids)
        return fork

    def make(self, networks: int, fewest: int) -> Made:
        """Parents that are archived, and their forks."""
        made = Made({}, {}, {})
        for number in range(networks):
            url = f"https://root.example/{number}"
            parent, own = self.parent(fewest)
            made.parents[url] = parent
            for each in range(self.rng.randint(1, 4)):
                fork = f"https://fork.example/{number}/{each}"
                made.newcomers[fork] = self.fork(parent, own).tips()
                made.truth[fork] = url
        return made

    def unrelated(self) -> Iterator[tuple[str, Repo]]:
        """Repositories that show commits of others, and are no copies of any of them."""
        rng = self.rng
        for number in range(60):  # begun with a template, whose commits some of them still show, with its tag
            if number % 6 == 0:
                template = self.line(6)
            repo, _ = self.parent(fewest=rng.choice([0, 2]))
            if rng.random() < 0.7:
                repo.branches["template"] = rng.choice(template)
            if rng.random() < 0.3:
                repo.plain["template-v1"] = template[3]
            yield f"https://template.example/{number}", repo
        for number in range(60):  # have the tags of a library that somebody fetched there, and pushed with their own
            if number % 6 == 0:
                common = {f"lib-{name}": (next(self.ids), next(self.ids)) for name in range(rng.choice([1, 2, 4]))}
            repo, _ = self.parent(fewest=2 * len(common) + 1)
            repo.annotated |= common
            yield f"https://tags.example/{number}", repo

    def with_parts_of(self, parents: Mapping[str, Repo]) -> Iterator[tuple[str, Repo]]:
        """The same: they have branches of vendors, and whole histories below a name of their own."""
        rng = self.rng
        for number in range(60):
            repo, _ = self.parent()
            for vendor in rng.sample(sorted(parents), rng.choice([1, 1, 3])):
                theirs = parents[vendor]
                repo.branches[f"vendor/{vendor}"] = theirs.branches["main"]
                for name in sorted(theirs.plain)[: rng.choice([0, 1])]:
                    repo.plain[name] = theirs.plain[name]
            yield f"https://vendor.example/{number}", repo
        for number in range(20):
            repo, _ = self.parent()
            renamed = number % 2 == 0
            for part in rng.sample(sorted(parents), rng.choice([2, 3, 5])):
                theirs, prefix = parents[part], f"{part}/" if renamed else ""
                repo.branches[f"{part}/main"] = theirs.branches["main"]
                repo.plain |= {prefix + name: at for name, at in theirs.plain.items()}
                repo.annotated |= {prefix + name: pair for name, pair in theirs.annotated.items()}
            yield f"https://monorepo.example/{number}", repo


def told_apart(world: World, fewest: int) -> tuple[dict[str, str], dict[str, str]]:
    """What is found in a world with unrelated repositories, half of which are archived, and the truth.

    Parents show at least ``fewest`` commits beside main's.
    """
    made = world.make(200, fewest)
    roots, newcomers = [root(url, repo.tips()) for url, repo in made.parents.items()], dict(made.newcomers)
    parts = {f"part{number}": repo for number, repo in enumerate(made.parents.values())}
    for url, repo in [*world.unrelated(), *world.with_parts_of(parts)]:
        if world.rng.random() < 0.5:
            roots.append(root(url, repo.tips()))
        else:
            newcomers[url] = repo.tips()
    return find_kin(newcomers, roots), made.truth


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("fewest", "diverged", "recall"), [(3, 0.15, 0.95), (3, 0.5, 0.95), (2, 0.15, 0.94), (2, 0.5, 0.94)]
)
def test_200_made_networks_whose_parents_are_hidden(seed: int, fewest: int, diverged: float, recall: float) -> None:
    kin, truth = told_apart(World(random.Random(seed), diverged), fewest)
    wrong = {url: (found, truth.get(url)) for url, found in kin.items() if truth.get(url) != found}
    assert wrong == {}, "precision is 1"
    assert len(kin) / len(truth) >= recall


def test_copies_of_what_shows_one_commit_are_not_found() -> None:
    """It is said in docs/limits.md: one commit alone may be a template's."""
    repo = Repo({"main": 1})
    assert find_kin({NEW: repo.tips()}, [root(OLD, repo.tips())]) == {}


def test_whoever_shows_little_but_the_refs_of_one_other_is_taken_for_its_copy() -> None:
    """It is said there, too: such as an import of one project, with tags of the same names, that has no other refs."""
    part = {f"v{number}": number for number in range(1, 6)}
    assert kin_of(tips(None, HEAD=9, **part), root(OLD, tips(None, HEAD=6, **part))) == OLD
