"""What is there during a whole pass is listed, whatever happens to the rest between its pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.forges.by_id import GitHub, GitLab
from pipeline.forges.by_offset import Gitea, page_at
from pipeline.forges.cursor import Cursor, Pager
from pipeline.model.listing import Listing
from tests.support.forges import Forge, Repo

HOST = "forge.example"
BASE = f"https://{HOST}"
PAGERS: dict[str, Callable[[], Pager]] = {
    "gitea": lambda: Gitea(BASE, {HOST}),
    "github": lambda: GitHub(BASE, {HOST}),
    "gitlab": lambda: GitLab(BASE, {HOST}),
}
MOST_PAGES = 10_000


@dataclass
class Listed:
    """A pass in small steps; ``found`` has the last listing of each id."""

    forge: Forge
    pager: Pager
    cursor: Cursor | None
    found: dict[int, Listing] = field(default_factory=dict)
    pages: int = 0
    whole: bool = True

    @classmethod
    def begin(cls, forge: Forge, pager: Pager, **since: Any) -> Listed:
        return cls(forge, pager, pager.first(**since))

    def step(self) -> None:
        assert self.cursor is not None
        batch = self.pager.read(self.cursor, self.forge.page(self.pager, self.cursor))
        self.found |= {int(listing.forge_id): listing for listing in batch.listings}
        self.cursor, self.pages, self.whole = batch.next, self.pages + 1, self.whole and batch.whole
        assert self.pages < MOST_PAGES, "it does not end"

    def finish(self) -> Listed:
        while self.cursor is not None:
            self.step()
        return self


def same(forge: Forge, pager: Pager, found: dict[int, Listing], repo: Repo) -> bool:
    """Whether a listing says of a repository what is true of it."""
    listing = found[repo.id]
    if isinstance(pager, GitHub):
        return (listing.url, listing.fork) == (forge.url(repo).removesuffix(".git"), repo.parent is not None)
    parent = forge.repos.get(repo.parent or 0)
    expected = (forge.url(repo), repo.archived, repo.empty, None if parent is None else str(parent.id))
    return (listing.url, listing.archived, listing.empty, listing.parent_id) == expected


@pytest.mark.parametrize("kind", PAGERS)
@given(count=st.integers(0, 160), sized=st.integers(1, 120))
@settings(max_examples=20)
def test_a_quiet_forge_is_listed_exactly(kind: str, count: int, sized: int) -> None:
    """Also one that gives fewer items on a page than were asked for."""
    forge = Forge(sized=sized)
    for _ in range(count):
        forge.create()
    listed = Listed.begin(forge, PAGERS[kind]()).finish()
    assert listed.whole
    assert sorted(listed.found) == sorted(forge.repos)
    assert all(same(forge, listed.pager, listed.found, repo) for repo in forge.shown())


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 60))
def test_a_page_holds_its_index_and_begins_where_it_may(index: int, floor: int, most: int) -> None:
    start, size = page_at(max(index, floor), floor, most)
    assert floor <= start <= max(index, floor) < start + size
    assert start % size == 0
    assert size <= most


def test_a_large_quiet_forge_costs_gitea_few_pages_more() -> None:
    forge = Forge()
    for _ in range(2_000):
        forge.create()
    assert Listed.begin(forge, PAGERS["gitea"]()).finish().pages <= 1.3 * 40
    assert Listed.begin(forge, PAGERS["gitlab"]()).finish().pages == 21, "the last one is empty"
    assert Listed.begin(forge, PAGERS["github"]()).finish().pages == 21


@pytest.mark.parametrize("kind", PAGERS)
@pytest.mark.parametrize("gone", [1, 9, 49, 50, 51, 150])
def test_deletions_before_the_next_page_lose_nothing(kind: str, gone: int) -> None:
    """With offsets, what follows moves to places that were looked at already."""
    forge = Forge(sized=50)
    for _ in range(400):
        forge.create()
    listed = Listed.begin(forge, PAGERS[kind]())
    for _ in range(5):
        listed.step()
    for number in range(1, gone + 1):
        forge.delete(number)
    listed.finish()
    assert set(listed.found) >= set(forge.repos)
    assert len(listed.found) == 400


class Changing(RuleBasedStateMachine):
    """A forge of each kind's interface that people use while it is listed; ``kind`` is set by subclasses."""

    kind = ""

    def __init__(self) -> None:
        super().__init__()
        self.forge = Forge()
        for _ in range(190):
            self.forge.create()
        self.pager = PAGERS[self.kind]()
        self.begin()

    def begin(self) -> None:
        self.listed = Listed.begin(self.forge, self.pager)
        self.throughout = {repo.id for repo in self.forge.shown()}
        self.ever = set(self.throughout)
        self.states: dict[int, list[Repo]] = {repo.id: [repo] for repo in self.forge.shown()}

    def note(self) -> None:
        shown = {repo.id: repo for repo in self.forge.shown()}
        self.throughout &= shown.keys()
        self.ever |= shown.keys()
        for number, repo in shown.items():
            self.states.setdefault(number, []).append(repo)

    @rule(count=st.integers(1, 60))
    def create(self, count: int) -> None:
        for _ in range(count):
            self.forge.create()
        self.note()

    @precondition(lambda self: self.forge.shown())
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        self.forge.create(parent=self._one(data))
        self.note()

    @precondition(lambda self: self.forge.shown())
    @rule(data=st.data(), what=st.sampled_from(["name", "archived", "empty"]))
    def change(self, data: st.DataObject, what: str) -> None:
        number = self._one(data)
        now = self.forge.repos[number]
        self.forge.change(number, **{what: f"new/{number}" if what == "name" else not getattr(now, what)})
        self.note()

    @precondition(lambda self: self.forge.repos)
    @rule(data=st.data())
    def hide_or_show(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.forge.repos)))
        self.forge.change(number, private=not self.forge.repos[number].private)
        self.note()

    @precondition(lambda self: self.forge.repos)
    @rule(data=st.data(), count=st.integers(1, 25))
    def delete(self, data: st.DataObject, count: int) -> None:
        """A run of them, such as an owner's."""
        numbers = sorted(self.forge.repos)
        at = data.draw(st.integers(0, len(numbers) - 1))
        for number in numbers[at : at + count]:
            self.forge.delete(number)
        self.note()

    def _one(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([repo.id for repo in self.forge.shown()]))

    @precondition(lambda self: self.listed.cursor is not None)
    @rule()
    def page(self) -> None:
        self.listed.step()

    @invariant()
    def a_pass_that_is_over_has_all(self) -> None:
        if self.listed.cursor is not None:
            return
        assert self.throughout <= self.listed.found.keys() <= self.ever
        if not isinstance(self.pager, GitHub):
            for number, listing in self.listed.found.items():
                assert any(listing.url == self.forge.url(state) for state in self.states[number])
        self.begin()

    def teardown(self) -> None:
        self.begin()
        self.listed.finish()
        shown = self.forge.shown()
        assert sorted(self.listed.found) == [repo.id for repo in shown]
        assert all(same(self.forge, self.pager, self.listed.found, repo) for repo in shown)


def machine(kind: str) -> Any:
    changing: Any = type(f"{kind}Changing", (Changing,), {"kind": kind})
    found = changing.TestCase
    found.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
    return found


TestGitea = machine("gitea")
TestGitHub = machine("github")
TestGitLab = machine("gitlab")


@pytest.mark.parametrize("kind", ["gitea", "gitlab"])
def test_a_pass_for_changes_finds_what_changed_and_what_is_new(kind: str) -> None:
    forge = Forge()
    for _ in range(300):
        forge.create()
    since = forge.clock
    for number in (3, 77, 250):
        forge.change(number, archived=True)
    forge.create()
    listed = Listed.begin(forge, PAGERS[kind](), since=since).finish()
    assert {3, 77, 250, 301} <= listed.found.keys()
    assert listed.pages <= 2
    assert listed.found[77].archived


def test_github_is_asked_only_for_new_ids() -> None:
    forge = Forge()
    for _ in range(300):
        forge.create()
    listed = Listed.begin(forge, PAGERS["github"](), since=forge.clock, highest=250).finish()
    assert sorted(listed.found) == list(range(251, 301))
