"""A real Gitea: what is listed is what its database has, whatever people do between pages, wherever a pass is killed.

Its program takes some ten CPU minutes to build, once, so these tests are not in CI: ``scripts/gitea test`` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from local_gitea import missing
from pipeline.fetch.forges import crawl
from pipeline.fetch.forges.by_offset import Gitea
from pipeline.fetch.forges.passes import Pass, read_pass
from pipeline.git.page import get_page
from tests.support.gitea import Held, Kept, People, people
from tests.support.listings import Killed, Place

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.timeout(7_200),
]
OWNERS = ("ants", "bees", "Cats")
ACTS = ("create", "fork", "mirror", "rename", "transfer", "delete", "delete", "archive", "hide", "empty", "push")
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Ground:
    """A Gitea with repositories, and its data as they were, so that each example begins alike."""

    people: People
    kept: Kept
    count: int


@pytest.fixture(scope="module", params=[(48, 8), (300, 20)], ids=["48", "300"])
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    count, items = request.param
    with people(tmp_path_factory.mktemp("gitea") / "data", items) as them:
        for owner in OWNERS:
            them.organisation(owner)
        for number in range(count):
            them.create(OWNERS[number % 3], f"r{number:03}", empty=number % 10 == 9)
        yield Ground(them, Kept(them.gitea), count)


@dataclass
class Kills:
    """Lets some requests through; then the process ends, as it asks or as it has the answer."""

    left: int = 0
    loses: bool = False
    answers: int = 0
    kills: int = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.left == 0:
            self.kills += 1
            raise Killed
        self.left -= 1
        page = get_page(*arguments, **options)
        self.answers += 1
        if self.left == 0 and self.loses:
            self.kills += 1
            raise Killed
        return page


class Changing(RuleBasedStateMachine):
    """People use a Gitea while it is listed. ``ground`` is set by subclasses."""

    ground: Ground
    kills: Kills

    def __init__(self) -> None:
        super().__init__()
        self.ground.kept.restore()
        self.people, self.stack, self.made = self.ground.people, ExitStack(), 0
        self.place = Place(Path(self.stack.enter_context(TemporaryDirectory())))
        self.forge = self.place.settings("gitea", self.people.gitea.url)
        self.begin(full=True)

    # Passes

    def begin(self, *, full: bool) -> None:
        self.at = self.place.begin(self.forge, datetime.now(UTC), full=full)
        self.before = self.people.truth()
        self.throughout, self.ever = dict(self.before), {number: {held} for number, held in self.before.items()}

    def note(self) -> None:
        """What people have done is done between two pages, also what Gitea does a little later."""
        self.people.gitea.settle()
        now = self.people.truth()
        self.throughout = {number: held for number, held in self.throughout.items() if now.get(number) == held}
        for number, held in now.items():
            self.ever.setdefault(number, set()).add(held)

    def found(self) -> Pass:
        found = read_pass(self.place.storage, self.at)
        assert found is not None
        return found

    @rule(pages=st.integers(1, 4), loses=st.booleans())
    def list_some(self, pages: int, loses: bool) -> None:
        """So many pages, then a kill: before the next one is asked for, or with an answer that is not kept yet."""
        self.kills.left, self.kills.loses = pages, loses
        try:
            while not self.found().over:
                self.place.lister(self.forge, 3).list_slice(self.at, self.found().slices + 1)
        except Killed:
            pass

    @invariant()
    def a_pass_that_is_over_has_all(self) -> None:
        if self.found().over:
            self.check()
            self.begin(full=self.at.number % 3 == 0)

    def check(self) -> None:
        """All that nobody touched meanwhile is listed as it is; the rest as it was at some time."""
        found, rows = self.found(), self.rows()
        assert found.progress.complete
        since = found.begun.since
        must = {
            number: held
            for number, held in self.throughout.items()
            if not held.private and (since is None or held.changed >= since.timestamp())
        }
        assert {number: rows.get(number) for number in must} == must
        for number, held in rows.items():
            assert any(held == replace(one, private=False) for one in self.ever[number]), held

    def rows(self) -> dict[int, Held]:
        """What is listed; the last row of each."""
        return {int(row["forge_id"]): self.shown(row) for row in self.place.rows(self.at)}

    def shown(self, row: dict[str, Any]) -> Held:
        name = row["url"].removeprefix(f"{self.people.gitea.url}/").removesuffix(".git")
        assert row["fork"] == (row["parent_id"] is not None)
        parent = None if row["parent_id"] is None else int(row["parent_id"])
        flags = {word: row[word] for word in ("private", "empty", "archived", "mirror")}
        changed = int(row["changed_at"].timestamp())
        return Held(int(row["forge_id"]), name, parent=parent, changed=changed, **flags)

    # People

    def some(self, data: st.DataObject, may: Callable[[Held], bool] = lambda held: True) -> Held | None:
        found = [held for _, held in sorted(self.people.truth().items()) if may(held)]
        return found[data.draw(st.integers(0, len(found) - 1))] if found else None

    def name(self) -> str:
        self.made += 1
        return f"new{self.made}"

    @rule(data=st.data(), what=st.sampled_from(ACTS))
    def act(self, data: st.DataObject, what: str) -> None:
        getattr(self, what)(data)
        self.note()

    def create(self, data: st.DataObject) -> None:
        owner, empty = data.draw(st.sampled_from(OWNERS)), data.draw(st.booleans())
        for _ in range(data.draw(st.integers(1, 5))):
            made = self.people.create(owner, self.name(), empty=empty)
            assert self.people.truth()[made["id"]].empty == empty

    def fork(self, data: st.DataObject) -> None:
        """One for each owner who has none, as Gitea has it."""
        owner = data.draw(st.sampled_from(OWNERS))
        has = {held.parent for held in self.people.truth().values() if held.owner == owner}
        of = self.some(data, lambda held: held.id not in has and not held.empty and held.owner != owner)
        if of is not None:
            made = self.people.fork(of.name, owner, self.name())
            assert self.people.truth()[made["id"]].parent == of.id

    def mirror(self, data: st.DataObject) -> None:
        of = self.some(data, lambda held: not held.empty and not held.private)
        if of is not None:
            owner = data.draw(st.sampled_from(OWNERS))
            made = self.people.mirror(f"{self.people.gitea.url}/{of.name}.git", owner, self.name())
            assert self.people.truth()[made["id"]].mirror

    def rename(self, data: st.DataObject) -> None:
        """Archived ones cannot be."""
        held = self.some(data, lambda held: not held.archived)
        if held is not None:
            self.people.change(held.name, name=self.name())
            assert self.people.truth()[held.id].name != held.name

    def transfer(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(OWNERS))
        held = self.some(data, lambda held: not held.archived and held.owner != owner)
        if held is not None:
            self.people.transfer(held.name, owner)
            assert self.people.truth()[held.id].name == f"{owner}/{held.name.partition('/')[2]}"

    def delete(self, data: st.DataObject) -> None:
        """Neighbours, of which at least half as many as in the beginning stay."""
        there = [held for _, held in sorted(self.people.truth().items())]
        count = data.draw(st.integers(1, 15))
        if len(there) > self.ground.count // 2 + count:
            at = data.draw(st.integers(0, len(there) - count))
            for held in there[at : at + count]:
                self.people.delete(held.name)

    def archive(self, data: st.DataObject) -> None:
        """Or no longer."""
        held = self.some(data, lambda held: not held.mirror)
        if held is not None:
            self.people.change(held.name, archived=not held.archived)
            assert self.people.truth()[held.id].archived is not held.archived

    def hide(self, data: st.DataObject) -> None:
        """Or show; forks are hidden with what they were forked from."""
        for _ in range(data.draw(st.integers(1, 6))):
            held = self.some(data, lambda held: held.parent is None and not held.archived)
            if held is not None:
                self.people.change(held.name, private=not held.private)
                assert self.people.truth()[held.id].private is not held.private

    def empty(self, data: st.DataObject) -> None:
        """Its name stays, and so do its owner and nothing else."""
        held = self.some(data, lambda held: not held.empty)
        if held is not None:
            self.people.delete(held.name)
            made = self.people.create(*held.name.split("/"), empty=True)
            assert made["id"] > held.id

    def push(self, data: st.DataObject) -> None:
        held = self.some(data, lambda held: not held.archived and not held.mirror)
        if held is not None:
            self.people.write(held.name, f"{self.name()}.txt", "text")
            assert not self.people.truth()[held.id].empty

    def teardown(self) -> None:
        """In the end nobody does anything any more: the listing is the database."""
        with self.stack:
            self.finish()
            self.check()
            self.begin(full=True)
            answers, kills = self.kills.answers, self.kills.kills
            self.finish()
            self.check()
            public = {number: held for number, held in self.people.truth().items() if not held.private}
            assert self.rows() == public
            lost = self.kills.kills - kills
            assert self.kills.answers - answers <= self.found().progress.pages + lost

    def finish(self) -> None:
        while not self.found().over:
            self.list_some(2, loses=self.kills.kills % 2 == 0)


def test_what_was_listed_is_deleted_before_each_page(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that comes later moves forward, to where the listing was already."""
    ground.kept.restore()
    there = [held for _, held in sorted(ground.people.truth().items())]
    left, place = there[: ground.count // 3], Place(tmp_path)

    def deleting(*arguments: Any, **options: Any) -> Any:
        for held in left[:3]:
            ground.people.delete(held.name)
        del left[:3]
        return get_page(*arguments, **options)

    monkeypatch.setattr(crawl, "get_page", deleting)
    at = place.list_all(place.settings("gitea", ground.people.gitea.url))
    found = {int(row["forge_id"]) for row in place.rows(at)}
    now = ground.people.truth()
    assert found >= now.keys()
    assert len(there) - len(now) > 12
    assert [row["forge_id"] for row in place.rows(at)] == [str(number) for number in sorted(found)], "none doubled"


def test_the_listing_is_what_the_database_has(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = Kills()
    monkeypatch.setattr(crawl, "get_page", kills)
    monkeypatch.setattr(Gitea, "lag", SECOND)
    machine = type("Machine", (Changing,), {"ground": ground, "kills": kills})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3 if ground.count > 100 else 10,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
        ),
    )
    assert kills.kills > 20


def test_what_gitea_shows_as_a_change(tmp_path: Path) -> None:
    """Other passes than full ones see these alone; a mirror's time is that of its newest commit."""
    with people(tmp_path / "data") as them:
        for owner in OWNERS:
            them.organisation(owner)
        source, one = (them.create("ants", name) for name in ("source", "one"))
        mirror = them.mirror(f"{them.gitea.url}/ants/source.git", "bees", "mirror")
        them.gitea.settle()
        them.age(86_400)

        def moves(number: int, act: Callable[[], object]) -> bool:
            before = them.truth()[number].changed
            act()
            them.gitea.settle()
            return them.truth()[number].changed != before

        number = one["id"]
        assert moves(number, lambda: them.write("ants/one", "file", "text"))
        assert not moves(number, lambda: them.change("ants/one", private=True))
        assert not moves(number, lambda: them.change("ants/one", private=False))
        assert not moves(number, lambda: them.change("ants/one", name="two"))
        assert not moves(number, lambda: them.transfer("ants/two", "bees"))
        assert not moves(number, lambda: them.change("bees/two", archived=True))

        day = datetime.now(UTC) - timedelta(hours=5)
        dates = dict.fromkeys(("author", "committer"), day.replace(microsecond=0).isoformat())
        them.write("ants/source", "file", "text", dates=dates)
        them.gitea.settle()
        assert them.truth()[source["id"]].changed >= day.timestamp() + 3600

        def sync() -> None:
            before = them.truth()[mirror["id"]].changed
            them.ask("POST", "repos/bees/mirror/mirror-sync")
            them.until(lambda: them.truth()[mirror["id"]].changed != before)

        assert moves(mirror["id"], sync)
        assert them.truth()[mirror["id"]].changed == int(day.timestamp())
