"""A load that was planned before its origin was taken down or opted out, and is published afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.origin import bucket_of
from pipeline.model.pattern import Pattern
from pipeline.model.tables import BY_OBJECT, BY_ORIGIN
from pipeline.model.tombstone import NETWORK, OBJECT, ORIGIN, Tombstone
from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.night.standing import opt_out, pause
from pipeline.read.archive import Archive
from pipeline.storage.interface import Storage
from pipeline.tables.tombstones import add_tombstones, current, hidden_now, set_removed
from pipeline.tables.writer import unleased
from tests.tables.conftest import ADDED, add, night
from tests.tables.landing import BUCKETS, MadeLoad, oid_of

GONE, ALONE, FORK, OTHER = (f"https://example.org/{name}" for name in ("gone", "alone", "fork", "other"))


@pytest.mark.slow
def test_what_was_taken_down_after_the_plan_stays_hidden(spark: SparkSession, storage: Storage) -> None:
    """For an origin with a fork, what only it has; for a single origin, its network; even after the removal."""
    gone, alone, fork, other = add(spark, GONE, ALONE, (FORK, GONE), OTHER)
    landing = MadeLoad(storage, night(2))
    shared = landing.tree(gone.network, {b"a": b"shared\n"})
    mine = landing.tree(gone.network, {b"b": b"mine\n"})
    going = landing.commit(gone.network, mine, message="going")
    landing.push(gone, going)
    landing.push(fork, landing.commit(gone.network, shared, message="staying"))
    for origin in (alone, other):
        landing.push(origin, landing.commit(origin.network, landing.tree(origin.network, {b"x": origin.url.encode()})))
    objects = {going, mine, oid_of(b"blob", b"mine\n")}
    places: dict[str, Any] = {
        o.url: {"bucket": bucket_of(o.network, BUCKETS), "network": o.network} for o in (gone, alone)
    }
    stones = [Tombstone("t1", OBJECT, ADDED, oid=oid, **places[GONE]) for oid in sorted(objects)]
    add_tombstones(spark, [Tombstone("t1", ORIGIN, ADDED, url=GONE, **places[GONE]), *stones])
    whole = Tombstone("t2", NETWORK, ADDED, **places[ALONE])
    add_tombstones(spark, [Tombstone("t2", ORIGIN, ADDED, url=ALONE, **places[ALONE]), whole])
    set_removed(spark, ["t1", "t2"])
    assert not hidden_now(spark)

    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    derive(unleased(spark), storage, landing.load)
    for table in BY_ORIGIN:
        column = "url" if table == "origins" else "origin"
        assert {row[column] for row in Archive(spark).table(table).collect()} == {FORK, OTHER}, table
    for table in BY_OBJECT:
        rows = current(spark, table).collect()
        assert not {bytes(row.oid) for row in rows} & objects, table
        assert {row.network for row in rows} <= {gone.network, other.network}, table
    assert {row.name for row in current(spark, "head_blobs").collect()} == {"a", "x"}


@pytest.mark.slow
def test_what_was_opted_out_or_paused_after_the_plan_stays_so(spark: SparkSession, storage: Storage) -> None:
    out, still = add(spark, GONE, OTHER)
    landing = MadeLoad(storage, night(2))
    for origin in (out, still):
        landing.push(origin, landing.commit(origin.network, landing.tree(origin.network, {b"x": b"x"})))
    manifests = landing.write()
    opt_out(spark, [Pattern(GONE)])
    pause(spark, [Pattern(OTHER)])
    publish(unleased(spark), storage, landing.load, manifests, "run1")
    rows = current(spark, "origins").collect()
    assert {(row.url, row.state, row.last_status) for row in rows} == {
        (GONE, "opted_out", "full"),
        (OTHER, "paused", "full"),
    }
