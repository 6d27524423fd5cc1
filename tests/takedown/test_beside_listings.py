"""People keep repositories out while a merge of listings runs: whoever commits last, what is out stays out.

Nothing else is lost: what the listing shows of other repositories is there afterwards, whoever was faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.takedown.run_takedown import finish_takedowns, take_down
from pipeline.maintain.takedown.targets import Target
from pipeline.model.listing import LISTINGS, Listing
from pipeline.model.origin import Origin
from pipeline.model.pattern import Pattern
from pipeline.night.derive import derive
from pipeline.night.origins import add_origins
from pipeline.night.publish import publish
from pipeline.night.standing import opt_out
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import see
from pipeline.tables.doubles import find_doubles
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import current, taken_down
from pipeline.tables.writer import unleased
from tests.night.test_signals import at, merged_listings, url_of
from tests.support.sample import of_the_day
from tests.support.tables import made_once
from tests.tables.conftest import ADDED, night
from tests.tables.landing import BUCKETS, MadeLoad
from tests.tables.test_interleaved import before_commit
from tests.tables.test_writers import session_beside

pytestmark = pytest.mark.slow

ALONE, GOING, UNWANTED = "alone", "going", "unwanted"
"""What people keep out: a repository without forks in the archive, one with a fork, and one that they opt out."""

FIRST = [Listing(name, url_of(name), changed_at=at(-1)) for name in (ALONE, GOING, UNWANTED, "staying", "other")]
SECOND = [
    Listing(ALONE, url_of(ALONE), changed_at=at(3)),
    Listing(GOING, url_of("going-elsewhere"), changed_at=at(3)),
    Listing(UNWANTED, url_of("unwanted-elsewhere"), changed_at=at(3)),
    Listing("staying", url_of("staying"), fork=True, parent_id=GOING, changed_at=at(-1)),
    Listing("other", url_of("other"), changed_at=at(3)),
    Listing("back", url_of("back"), changed_at=at(3)),
    Listing("new", url_of("new"), changed_at=at(3)),
    Listing("of-alone", url_of("of-alone"), fork=True, parent_id=ALONE, changed_at=at(3)),
    Listing("of-going", url_of("of-going"), fork=True, parent_url=url_of(GOING), changed_at=at(3)),
]
"""Two repositories have moved, one is there again, and four are new, two of them forks of what people keep out."""

ADDED_BY = 2
"""The commit of a merge, counted from 0, that adds origins: after those of signals and of the listing."""


def filled(spark: SparkSession, storage: Storage) -> dict[str, int]:
    """Visited origins, one of them gone, and their listing; returns their networks."""
    origins = [Origin(url_of(name)) for name in (ALONE, GOING, UNWANTED, "other", "back")]
    origins.append(Origin(url_of("staying"), url_of(GOING)))
    add_origins(spark, origins, BUCKETS, ADDED)
    landing = MadeLoad(storage, night(2))
    for origin in origins:
        tree = landing.tree(origin.network, {b"a.py": origin.url.encode()})
        landing.push(origin, landing.commit(origin.network, tree, message=origin.url))
    publish(unleased(spark), storage, landing.load, landing.write(), landing.run_id)
    derive(unleased(spark), storage, landing.load)
    spark.sql(f"UPDATE {full_name('origins')} SET state = 'gone' WHERE url = '{url_of('back')}'")
    merged_listings(spark, Path(storage.root_uri.removeprefix("file://")), 1, FIRST)
    spark.sql(f"UPDATE {full_name('origins')} SET signalled_at = NULL, signals = NULL")
    return {origin.url: origin.network for origin in origins}


@dataclass(frozen=True)
class World:
    """An archive in which people and a merge are at work, each in a session of its own."""

    spark: SparkSession
    other: SparkSession
    storage: Storage
    scratch: Path

    def merge(self, number: int = 2) -> None:
        merged_listings(self.spark, self.scratch, number, SECOND)

    def refuse(self) -> None:
        targets = [Target(url=url_of(name)) for name in (ALONE, GOING)]
        take_down(self.other, self.storage, targets, reason="asked", by="us", scratch=self.scratch / "takedown")
        opt_out(self.other, [Pattern(url_of(UNWANTED))])

    def remove(self) -> None:
        finish_takedowns(unleased(self.spark), self.storage, self.scratch / "takedown")

    def states(self) -> Mapping[str, str]:
        return {row["url"]: row["state"] for row in current(self.spark, "origins").collect()}

    def check(self, *before: str) -> None:
        """Check everything; ``before`` is what was there before anybody kept something out, and is visited, too."""
        shown = self.states()
        assert not {url_of(ALONE), url_of(GOING)} & shown.keys(), "no reader sees what was taken down"
        stay = {url_of(name) for name in ("staying", "other", "back", "new", "of-going", *before)}
        assert {url for url, state in shown.items() if state == "active"} == stay
        assert shown[url_of(UNWANTED)] == "opted_out"
        rows = see(self.spark, "origins").rows().collect()
        closed = taken_down(self.spark)[1]
        assert {row["url"] for row in rows if row["network"] in closed} <= {url_of(ALONE)}, "nothing lands there again"
        due = {row["url"]: row["next_due"] is None for row in rows}
        assert all(due[url_of(name)] for name in ("back", "new", "of-going"))
        signalled = {row["url"] for row in rows if row["signalled_at"] is not None} & stay
        assert signalled == {url_of("other"), url_of("back")}
        listed = see(self.spark, LISTINGS.name).rows().collect()
        assert {row["forge_id"]: row["url"] for row in listed} == {each.forge_id: each.url for each in SECOND}
        assert find_doubles(self.spark) == []


fill = made_once(filled)


@pytest.fixture
def world(spark: SparkSession, storage: Storage, tmp_path: Path) -> World:
    fill(spark, storage)
    return World(spark, session_beside(spark), storage, tmp_path)


@pytest.mark.parametrize("commit", of_the_day(range(4), 2))
def test_what_is_kept_out_during_a_merge_stays_out(world: World, commit: int) -> None:
    with before_commit(commit, world.refuse) as ran:
        world.merge()
    assert ran()
    forks = ["of-alone"] if commit > ADDED_BY else []  # then its network has another origin, and is not taken down
    world.check(*forks)
    end(world, forks, forks)


@pytest.mark.parametrize("commit", of_the_day(range(6), 2))
def test_what_a_merge_adds_while_people_keep_it_out_stays_out(world: World, commit: int) -> None:
    with before_commit(commit, world.merge) as ran:
        world.refuse()
    assert ran()
    moved = [f"{name}-elsewhere" for name, last in ((GOING, 3), (UNWANTED, 4)) if commit <= last]
    world.check(*moved)
    end(world, moved, ())


def end(world: World, until: Sequence[str], after: Sequence[str]) -> None:
    """What follows brings nothing back: a removal, and a merge that shows the same again."""
    world.remove()
    world.check(*until)
    world.merge(3)
    world.check(*after)
    rows = see(world.spark, "origins").rows().collect()
    assert not {url_of(ALONE), url_of(GOING)} & {row["url"] for row in rows}, "the files do not have them either"
