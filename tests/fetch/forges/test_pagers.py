"""What is there during a whole pass is listed, whatever happens to the rest between its pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.fetch.forges.by_id import GitHub, GitLab
from pipeline.fetch.forges.by_offset import Gitea, page_at
from pipeline.fetch.forges.by_time import Bitbucket
from pipeline.fetch.forges.cgit import MOST_RESTARTS, Cgit
from pipeline.fetch.forges.cursor import BadPage, Batch, Cursor, Pager
from pipeline.model.listing import Listing
from pipeline.model.page import Page
from tests.support.forges import Forge, Repo

HOST = "forge.example"
BASE = f"https://{HOST}"
PAGERS: dict[str, Callable[[], Pager]] = {
    "bitbucket": lambda: Bitbucket(f"{BASE}/2.0/repositories/o", {HOST}),
    "cgit": lambda: Cgit(BASE, BASE, {HOST}),
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
        self.found |= {number_of(listing): listing for listing in batch.listings}
        self.cursor, self.pages, self.whole = batch.next, self.pages + 1, self.whole and batch.whole
        assert self.pages < MOST_PAGES, "it does not end"

    def finish(self) -> Listed:
        while self.cursor is not None:
            self.step()
        return self


def number_of(listing: Listing) -> int:
    """A repository's number; those that have none have it in their name."""
    return int(re.findall(r"\d+", listing.forge_id)[-1])


def same(forge: Forge, pager: Pager, found: dict[int, Listing], repo: Repo) -> bool:
    """Whether a listing says of a repository what is true of it."""
    listing = found[repo.id]
    if isinstance(pager, GitHub):
        return (listing.url, listing.fork) == (forge.url(repo).removesuffix(".git"), repo.parent is not None)
    if isinstance(pager, Cgit):
        return listing.url == forge.url(repo)
    parent = forge.repos.get(repo.parent or 0)
    if isinstance(pager, Bitbucket):
        found_parent = None if listing.parent_id is None else int(listing.parent_id[-13:-1])
        expected_branch = None if repo.empty else "main"
        return (f"{listing.url}.git", listing.default_branch, found_parent) == (
            forge.url(repo), expected_branch, None if parent is None else parent.id,
        )  # fmt: skip
    expected = (forge.url(repo), repo.archived, repo.empty, None if parent is None else str(parent.id))
    return (listing.url, listing.archived, listing.empty, listing.parent_id) == expected


@pytest.mark.parametrize("kind", PAGERS)
@given(count=st.integers(0, 160), sized=st.integers(1, 120))
@settings(max_examples=20)
def test_a_quiet_forge_is_listed_exactly(kind: str, count: int, sized: int) -> None:
    """Also one that gives fewer items on a page than were asked for."""
    forge = Forge(sized=max(sized, 4) if kind == "bitbucket" else sized)
    for _ in range(count):
        forge.create()
    listed = Listed.begin(forge, PAGERS[kind]()).finish()
    assert listed.whole or (kind == "cgit" and sized == 1), "pages of one item have none in common"
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
    order = sorted(forge.repos, key=lambda number: forge.repos[number].name if kind == "cgit" else number)
    for number in order[:gone]:
        forge.delete(number)
    listed.finish()
    assert set(listed.found) >= set(forge.repos)
    assert len(listed.found) == 400


class Changing(RuleBasedStateMachine):
    """A forge of each kind's interface that people use while it is listed; ``kind`` is set by subclasses."""

    kind = ""
    changes: ClassVar[Sequence[str]] = ("name", "archived", "empty")

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
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        number, what = self._one(data), data.draw(st.sampled_from(self.changes))
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
                urls = {self.forge.url(state) for state in self.states[number]}
                assert f"{listing.url.removesuffix('.git')}.git" in urls
        self.begin()

    def teardown(self) -> None:
        self.begin()
        self.listed.finish()
        shown = self.forge.shown()
        assert sorted(self.listed.found) == [repo.id for repo in shown]
        assert all(same(self.forge, self.pager, self.listed.found, repo) for repo in shown)


def machine(kind: str, **values: Any) -> Any:
    changing: Any = type(f"{kind}Changing", (Changing,), {"kind": kind, **values})
    found = changing.TestCase
    found.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
    return found


TestBitbucket = machine("bitbucket")
TestCgit = machine("cgit", changes=("archived",))  # a repository of another name is another one
TestGitea = machine("gitea")
TestGitHub = machine("github")
TestGitLab = machine("gitlab")


@pytest.mark.parametrize("kind", ["bitbucket", "cgit", "gitea", "gitlab"])
def test_a_pass_for_changes_finds_what_changed_and_what_is_new(kind: str) -> None:
    forge = Forge()
    for _ in range(300):
        forge.create()
    since = forge.clock
    for number in (3, 77, 250):
        forge.push(number)
    forge.create()
    listed = Listed.begin(forge, PAGERS[kind](), since=since).finish()
    assert {3, 77, 250, 301} <= listed.found.keys()
    assert listed.pages <= 2
    assert listed.found[77].changed_at == forge.repos[77].changed


def test_github_is_asked_only_for_new_ids() -> None:
    forge = Forge()
    for _ in range(300):
        forge.create()
    listed = Listed.begin(forge, PAGERS["github"](), since=forge.clock, highest=250).finish()
    assert sorted(listed.found) == list(range(251, 301))


# Pages of cgit


def row(href: str, rest: str = "") -> str:
    return f"<tr><td class='toplevel-repo'><a href='{href}'>r</a></td>{rest}</tr>"


def shown(*rows: str, after: str = "") -> Page:
    return Page({}, f"<table summary='repository list'>{''.join(rows)}</table>{after}".encode())


def read(page: Page, pager: Cgit | None = None) -> Batch:
    pager = pager or Cgit(f"{BASE}/git", f"{BASE}/git", {HOST})
    return pager.read(pager.first(), page)


@pytest.mark.parametrize(
    "href",
    [
        "/git/", "/git//", "/git/../../etc/passwd/", "/git/..%2f..%2fetc/", "/git/a/%2e%2e/b/", "/git/%00/",
        "/git/%ff%fe/", "/git/a%e2%80%8b/", "/git/%0d%0aHost:%20x/", f"/git/{'x' * 300}/", "javascript:alert(1)",
        "", "?x", "/git/a%0ab/", "https://victim.example/git/a/", "//victim.example/git/a/", "/gitx/a/", "git/a/",
    ],
)  # fmt: skip
def test_a_link_that_leads_elsewhere_is_no_repository(href: str) -> None:
    batch = read(shown(row("/git/good/"), row(href)))
    assert [listing.url for listing in batch.listings] == [f"{BASE}/git/good"]
    assert sum(batch.bad.values()) == 1


@pytest.mark.parametrize(
    "body",
    [
        "", "<html>", "<table summary='repository list'>" + row("/git/a/"), "<table>" + row("/git/a/") + "</table>",
        "<table summary='repository list'" * 50_000, "<!--" * 100_000, "<table summary='repository list'><tr>" * 50_000,
    ],
)  # fmt: skip
def test_what_has_no_whole_list_is_no_page(body: str) -> None:
    with pytest.raises(BadPage, match="not all of it"):
        read(Page({}, body.encode()))


@pytest.mark.parametrize(
    "junk",
    [
        "<tr" * 500_000, "<tr><td class='toplevel-repo'><a" * 50_000,
        "<tr><td class='toplevel-repo'><a href='" * 40_000,
        "<tr" + " " * 2_000_000, "<tr><td class='toplevel-repo'><a" + " href=" * 300_000, "<b>" * 500_000,
        "<tr><td class='toplevel-repo'><a" + " x" * 900_000 + ">", "<tr>" + " title='2026-01-01" * 100_000,
        "<tr><td class='sublevel-repo'>" + "<td class='toplevel-repo'><a" * 70_000, "&#x110000;&#0;&" * 100_000,
        "\0\xff" * 9,
    ],
)  # fmt: skip
def test_pages_made_to_be_slow_or_strange_are_read_in_one_go(junk: str) -> None:
    batch = read(shown(row("/git/a/"), junk, row("/git/b/")))
    assert "git/a" in {listing.url.removeprefix(f"{BASE}/") for listing in batch.listings}


@pytest.mark.parametrize("age", ["9999-99-99 00:00:00 +0000", "0001-01-01 00:00:00 +2359", "2026-02-30 10:00:00 +0000"])
def test_an_age_that_is_none_is_left_out(age: str) -> None:
    batch = read(shown(row("/git/a/", f"<td><span class='age-days' title='{age}'>1</span></td>")))
    assert [listing.changed_at for listing in batch.listings] == [None]


def test_of_titles_in_a_row_the_age_is_the_last() -> None:
    ours = " title='2020-01-01 00:00:00 +0000'"
    age = "<span class='age-days' title='2026-11-26 12:00:00 +0200'>1</span>"
    batch = read(shown(row("/git/a/", f"<td><a>{ours}</a></td><td>{age}</td>")))
    assert [listing.changed_at for listing in batch.listings] == [datetime(2026, 11, 26, 10, tzinfo=UTC)]


def test_a_list_that_is_another_one_each_time_ends_and_is_not_whole() -> None:
    pager = Cgit(BASE, BASE, {HOST})
    cursor: Cursor | None = pager.first()
    whole, pages = True, 0
    while cursor is not None and pages < 100:
        names = range(10 * pages, 10 * pages + (10 if pages < 60 else 3))
        page = shown(*(row(f"/r{name}/") for name in names), after="<ul class='pager'>")
        batch = pager.read(cursor, page)
        cursor, whole, pages = batch.next, whole and batch.whole, pages + 1
    assert pages == 61
    assert not whole
    assert pages > MOST_RESTARTS


# Pages of Bitbucket


def made(second: int, **values: Any) -> dict[str, Any]:
    uuid, link = f"{{{second:02}}}", {"html": {"href": f"{BASE}/o/r{second}"}}
    return {"uuid": uuid, "scm": "git", "created_on": f"2026-01-01T00:00:{second:02}+00:00", "links": link, **values}


@pytest.mark.parametrize(
    "document",
    [
        [], {"error": {"message": "no"}}, {"values": {}}, {"values": [made(2), made(1)]},
        {"values": [None, {"uuid": "x"}]}, {"values": [], "next": "https://x"}, {"values": [made(0)], "next": "https://x"},
        {"values": [made(5)] * 101},
    ],
)  # fmt: skip
def test_what_is_not_in_order_or_does_not_go_on_is_no_page(document: Any) -> None:
    pager = PAGERS["bitbucket"]()
    cursor = pager.first().model_copy(update={"after": datetime(2026, 1, 1, tzinfo=UTC)})
    with pytest.raises(BadPage):
        pager.read(cursor, Page({}, json.dumps(document).encode()))


def test_bitbucket_items_that_cannot_be_used_are_counted() -> None:
    elsewhere = {"html": {"href": "https://victim.example/o/r"}}
    parent = {"uuid": "{9}", "links": elsewhere}
    values = [
        None, made(1), made(2, scm="hg"), made(3, uuid=None), made(4, links=elsewhere), made(5, links=None),
        made(6, parent=parent, mainbranch={"name": "m"}, size=-1, is_private="no"),
    ]  # fmt: skip
    pager = PAGERS["bitbucket"]()
    batch = pager.read(pager.first(), Page({}, json.dumps({"values": values}).encode()))
    assert dict(batch.bad) == {
        "no object": 1, "no git repository": 1, "no id": 1, "clone URL of another host": 1, "no clone URL": 1,
    }  # fmt: skip
    assert [listing.url for listing in batch.listings] == [f"{BASE}/o/r1", f"{BASE}/o/r6"]
    last = batch.listings[-1]
    assert (last.parent_id, last.parent_url, last.default_branch, last.size_bytes, last.private) == (
        "{9}", None, "m", None, None,
    )  # fmt: skip


# Parents


def parent_in(kind: str, number: int | None, url: str | None) -> dict[str, Any]:
    """An item with a parent of this number and URL."""
    if kind == "bitbucket":
        uuid = None if number is None else f"{{{number}}}"
        return made(1, parent={"uuid": uuid, "links": {"html": {"href": url}}})
    name, parent = {"gitea": ("clone_url", "parent"), "gitlab": ("http_url_to_repo", "forked_from_project")}[kind]
    return {"id": 1, name: f"{BASE}/o/r1", parent: {"id": number, name: url}}


@pytest.mark.parametrize("kind", ["bitbucket", "gitea", "gitlab"])
@pytest.mark.parametrize(
    ("number", "url", "has_number", "has_url"),
    [
        (9, f"{BASE}/o/r9", True, True),
        (9, "https://victim.example/o/r9", True, False),
        (9, None, True, False),
        (None, f"{BASE}/o/r9", False, True),
        (None, None, False, False),
    ],
)
def test_of_a_parent_is_kept_what_can_be_used(
    kind: str, number: int | None, url: str | None, has_number: bool, has_url: bool
) -> None:
    listing = PAGERS[kind]().listing(parent_in(kind, number, url))  # type: ignore[attr-defined]
    assert (listing.parent_id is not None, listing.parent_url is not None) == (has_number, has_url)
    assert listing.url == f"{BASE}/o/r1"
