"""Real cgit and gitweb: what they list is what there is, whatever happens between pages, and can be cloned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.fetch.forges import crawl
from pipeline.fetch.forges.cgit import Cgit
from pipeline.fetch.forges.cursor import Cursor
from pipeline.fetch.forges.errors import ListingStopped
from pipeline.fetch.forges.passes import read_pass
from tests.support.git import run_git
from tests.support.listings import NOW, Place, kill_after
from tests.support.sockets import Peer
from tests.support.web_interfaces import Folder, asked, interfaces, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

STRANGE = (
    "plain", "with space.git", "  two.git", "ünï/cödé.git", "日本.git", "100%.git", "%41.git", "%2e%2e.git", "a+b.git",
    "q?x=y.git", "h#x.git", "a&amp;b.git", "&lt.git", "it's.git", 'say "x".git', "<b>.git", "semi;colon.git",
    "Case.git", "case.git", "deep/er/still.git", "~tilde.git", "[x].git", "a:b.git", "c,d=e.git",
    "-dash.git", "$HOME.git",
)  # fmt: skip
EMPTY = "an empty one.git"
REFUSED = (b"latin-\xe9.git", b"line\nend.git", b"bell\x07.git", "zero\u200bwidth.git".encode())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def settings_of(kind: str, peer: Peer, place: Place) -> Any:
    if kind == "cgit":
        return place.settings("cgit", peer.url("cgit/"))
    return place.settings("gitweb", peer.url("gitweb/?a=project_index"), clones=peer.url("cgit"))


@pytest.mark.parametrize("kind", ["cgit", "gitweb"])
def test_strange_names_are_listed_as_they_are_and_can_be_cloned(kind: str, folder: Folder, place: Place) -> None:
    for name in (*STRANGE, *REFUSED):
        folder.create(name)
    folder.create(EMPTY, empty=True)
    with interfaces(folder, "max-repo-count=7", "section-from-path=1") as peer:
        at = place.list_all(settings_of(kind, peer, place))
        rows = place.rows(at)
        assert {row["forge_id"]: row["url"] for row in rows} == {
            name: peer.url(f"cgit/{quote(name)}") for name in (*STRANGE, EMPTY)
        }
        for row in rows:
            done = run_git("ls-remote", row["url"])
            assert done.returncode == 0, done.stderr
            assert (b"refs/heads/main" in done.stdout) == (row["forge_id"] != EMPTY)
    progress = read_pass(place.storage, at).progress
    assert progress.complete
    assert progress.bad == {"bad path": len(REFUSED)}


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> None:
    """Before each page, something changes; ``change`` gets the number of the page, from 0."""
    ask, pages = vars(crawl)["get_page"], [0]

    def changing(*arguments: Any, **options: Any) -> Any:
        change(pages[0])
        pages[0] += 1
        return ask(*arguments, **options)

    monkeypatch.setattr(crawl, "get_page", changing)


def test_cgit_is_listed_exactly_while_it_changes_and_the_lister_is_killed(
    folder: Folder, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is listed already is deleted, what is not yet is pushed to; the server would sort by age if it could."""
    before = [f"{'rR'[number % 2]}{number:03}" for number in range(90)]
    for name in before:
        folder.create(name, age=NOW.timestamp())
    lost = before[:40]

    def change(page: int) -> None:
        for name in lost[max(4 * page - 4, 0) : 4 * page]:
            if name == lost[-1]:
                folder.rename(name, f"zz/{name}")
            else:
                folder.delete(name)
        folder.push(before[-1 - page], age=NOW.timestamp() + page + 1)

    kill_after(monkeypatch, 3)
    meanwhile(monkeypatch, change)
    with interfaces(folder, "max-repo-count=10", "repository-sort=age", "case-sensitive-sort=0") as peer:
        forge = settings_of("cgit", peer, place)
        at = place.list_all(forge)
        found = [row["forge_id"] for row in place.rows(at)]
        assert set(before) - set(lost) <= set(found)
        assert read_pass(place.storage, at).progress.complete
        again = place.list_all(
            settings_of("cgit", peer, place), place.begin(settings_of("cgit", peer, place), full=True)
        )
        now = {str(path.parent.relative_to(folder.root)) for path in folder.root.rglob("HEAD")}
        assert {row["forge_id"] for row in place.rows(again)} == now


def test_cgit_is_asked_for_what_changed_last(folder: Folder, place: Place) -> None:
    """What was pushed to since the last pass comes first, so that the next one ends after a page."""
    for number in range(60):
        folder.create(f"r{number:02}", age=NOW.timestamp() - 86_400 * (60 - number))
    with interfaces(folder, "max-repo-count=10") as peer:
        forge = settings_of("cgit", peer, place)
        place.list_all(forge)
        full = len(peer.requests)
        folder.create("new", age=NOW.timestamp() + 60)
        folder.delete("r10")
        folder.create("r10", age=NOW.timestamp() + 30)
        at = place.list_all(forge, place.begin(forge, NOW + timedelta(hours=1)))
        rows = place.rows(at)
    assert [row["forge_id"] for row in rows][:3] == ["new", "r10", "r59"]
    assert rows[0]["changed_at"] == NOW + timedelta(minutes=1)
    assert (full, len(peer.requests) - full) == (7, 1)
    assert read_pass(place.storage, at).over


def test_gitweb_is_listed_as_it_is_now(folder: Folder, place: Place) -> None:
    for name in ("a", "b", "c"):
        folder.create(name)
    with interfaces(folder) as peer:
        forge = settings_of("gitweb", peer, place)
        first = place.list_all(forge)
        folder.delete("a")
        folder.rename("b", "d/b")
        folder.create("e", empty=True)
        second = place.list_all(forge, place.begin(forge))
    listed = [sorted(row["forge_id"] for row in place.rows(at)) for at in (first, second)]
    assert listed == [["a", "b", "c"], ["c", "d/b", "e"]]


def test_a_cgit_at_another_path_is_told_from_an_empty_one(folder: Folder, place: Place) -> None:
    folder.create("r")
    with interfaces(folder, "virtual-root=/other/") as peer:
        with pytest.raises(ListingStopped, match="path of the forge's URL") as caught:
            place.list_all(settings_of("cgit", peer, place))
        assert caught.value.code == "bad_page"
        folder.delete("r")
        with pytest.raises(ListingStopped) as caught:
            place.list_all(settings_of("cgit", peer, place))
        assert caught.value.code == "not_found", "a cgit without repositories says 404"


@dataclass
class Walk:
    """A pass over a real cgit, page by page."""

    pager: Cgit
    cursor: Cursor | None
    found: set[str] = field(default_factory=set)
    whole: bool = True

    def step(self) -> None:
        assert self.cursor is not None
        batch = self.pager.read(self.cursor, asked(self.pager.address(self.cursor)))
        self.found |= {listing.forge_id for listing in batch.listings}
        self.cursor, self.whole = batch.next, self.whole and batch.whole


class Changing(RuleBasedStateMachine):
    """People use a real cgit while it is listed."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Folder(Path(self.stack.enter_context(TemporaryDirectory())))
        peer = self.stack.enter_context(interfaces(self.folder, "max-repo-count=8"))
        self.pager = Cgit(peer.url("cgit"), peer.url("cgit"), {f"127.0.0.1:{peer.port}", "127.0.0.1"})
        self.names: set[str] = set()
        self.made = 0
        self.create(list(range(1, 31)))
        self.begin()

    def begin(self) -> None:
        self.walk = Walk(self.pager, self.pager.first())
        self.throughout, self.ever = set(self.names), set(self.names)

    def note(self) -> None:
        self.throughout &= self.names
        self.ever |= self.names

    @rule(places=st.lists(st.integers(1, 60), min_size=1, max_size=12))
    def create(self, places: list[int]) -> None:
        """Before, among and after what is there."""
        for place in places:
            self.made += 1
            name = f"{place:02} é%/{self.made}"
            self.folder.create(name, empty=self.made % 5 == 0)
            self.names.add(name)
        if self.made > 30:
            self.note()

    @precondition(lambda self: len(self.names) > 1)
    @rule(data=st.data(), place=st.integers(1, 60))
    def rename(self, data: st.DataObject, place: int) -> None:
        old = data.draw(st.sampled_from(sorted(self.names)))
        self.made += 1
        new = f"{place:02}/renamed {self.made}"
        self.folder.rename(old, new)
        self.names = self.names - {old} | {new}
        self.note()

    @precondition(lambda self: len(self.names) > 25)
    @rule(data=st.data(), count=st.integers(1, 20))
    def delete(self, data: st.DataObject, count: int) -> None:
        names = sorted(self.names)
        at = data.draw(st.integers(0, len(names) - 1))
        for name in names[at : at + count]:
            self.folder.delete(name)
            self.names.discard(name)
        self.note()

    @rule()
    def page(self) -> None:
        self.walk.step()

    @invariant()
    def a_pass_that_is_over_has_all(self) -> None:
        if self.walk.cursor is None:
            assert self.walk.whole
            assert self.throughout <= self.walk.found <= self.ever
            self.begin()

    def teardown(self) -> None:
        self.begin()
        with self.stack:
            while self.walk.cursor is not None:
                self.walk.step()
        assert self.walk.found == self.names


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=8, stateful_step_count=16, deadline=None)
