"""Newcomers are asked and moved, given the archive as it is when they are moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.takedown.run_takedown import finish_takedowns
from pipeline.model.layout import Load
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.pattern import Pattern
from pipeline.model.tables import REFS
from pipeline.model.tombstone import NETWORK, ORIGIN, Tombstone
from pipeline.night.newcomers import Asking, place_newcomers
from pipeline.night.plan import due_origins
from pipeline.night.standing import opt_out, pause
from pipeline.rules.kinship import Tip, Tips
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import nothing, overwrite
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import add_tombstones
from pipeline.tables.writer import Writer, unleased
from tests.tables.conftest import ADDED, add
from tests.tables.landing import BUCKETS

LOAD = Load.of_night(date(2026, 11, 3))
ROOT, OUT_ROOT = "https://old.example/root", "https://old.example/opted-out"
COPY, STRANGER = "https://new.example/copy", "https://new.example/stranger"
PAUSED, OUT, BELOW, GONE, PARENT = (f"https://new.example/{name}" for name in ("p", "out", "below/x", "gone", "parent"))
OF_OUT = "https://new.example/of-opted-out"
HAS_FORK, FORK, LATE_FORK = (f"https://new.example/{name}" for name in ("has-fork", "fork", "late-fork"))


def refs(name: str, *others: str) -> dict[bytes, bytes]:
    """Refs of these names; each points at a commit of its own."""
    return {each.encode(): each.encode().ljust(20, b".") for each in (name, *others)}


SHOWN = {b"HEAD": b"tip".ljust(20, b"."), **refs("refs/tags/v1", "refs/tags/v2")}
OTHERS = {b"HEAD": b"other tip".ljust(20, b"."), **refs("refs/tags/w1", "refs/tags/w2")}


def tips(shown: Mapping[bytes, bytes]) -> Tips:
    return Tips([Tip(name, target, target) for name, target in shown.items()])


def visited(spark: SparkSession, url: str, shown: Mapping[bytes, bytes], *, was: Sequence[bytes] = ()) -> None:
    """An origin that was visited and shows refs; some others it showed before."""
    add(spark, url)
    spark.sql(f"UPDATE {full_name('origins')} SET last_visit = now(), last_status = 'full' WHERE url = '{url}'")
    network = network_id(url)
    place = bucket_of(network, BUCKETS), network, url

    def land(day: int, targets: Mapping[bytes, bytes | None]) -> None:
        rows = [
            (*place, date(2026, 11, day), name.decode(), None, target, None, None, None)
            for name, target in targets.items()
        ]
        overwrite(local_frame(spark, rows, REFS.arrow_schema), unleased(spark).see(REFS.name), nothing())

    land(1, {**shown, **{name: name.ljust(20, b".") for name in was}})
    if was:
        land(2, dict.fromkeys(was))


def place(
    spark: SparkSession, storage: Storage, ask: Callable[[Sequence[str]], Mapping[str, Tips]], most: int = 9
) -> int:
    origins = due_origins(spark, storage, LOAD, BUCKETS).rows
    return place_newcomers(unleased(spark), storage, LOAD, BUCKETS, origins, Asking(ask, most))


def places(spark: SparkSession) -> dict[str, tuple[int, int, str | None, str]]:
    rows = spark.read.table(full_name("origins")).collect()
    assert len({row["url"] for row in rows}) == len(rows)
    return {row["url"]: (row["bucket"], row["network"], row["fork_of"], row["state"]) for row in rows}


def nobody(urls: Sequence[str]) -> Mapping[str, Tips]:
    raise AssertionError(f"{urls} were asked again")


@pytest.mark.slow
def test_what_changes_while_newcomers_are_asked_counts(spark: SparkSession, storage: Storage) -> None:
    """Pauses, opt-outs, takedowns and declared forks; nobody is asked or moved twice."""
    visited(spark, ROOT, SHOWN)
    visited(spark, OUT_ROOT, OTHERS)
    add(spark, COPY, STRANGER, PAUSED, OUT, BELOW, GONE, PARENT, OF_OUT, HAS_FORK, (FORK, HAS_FORK))
    before = places(spark)
    asked: list[str] = []

    def ask(urls: Sequence[str]) -> Mapping[str, Tips]:
        asked.extend(urls)
        pause(spark, [Pattern(PAUSED)])
        opt_out(spark, [Pattern(OUT), Pattern(BELOW.removesuffix("x"), below=True), Pattern(OUT_ROOT)])
        bucket, network, *_ = before[GONE]
        stone = Tombstone("t1", ORIGIN, ADDED, bucket=bucket, network=network, url=GONE)
        add_tombstones(spark, [stone, Tombstone("t1", NETWORK, ADDED, bucket=bucket, network=network)])
        add(spark, (LATE_FORK, PARENT))
        different = {STRANGER: tips(refs("HEAD", "refs/tags/x")), OF_OUT: tips(OTHERS)}
        return dict.fromkeys(urls, tips(SHOWN)) | different

    assert place(spark, storage, ask) == 1
    assert set(asked) == {COPY, STRANGER, PAUSED, OUT, BELOW, GONE, PARENT, OF_OUT}
    bucket, network, *_ = before[ROOT]
    states = {PAUSED: "paused", OUT: "opted_out", BELOW: "opted_out", OUT_ROOT: "opted_out"}
    kept = {url: (*place[:3], states.get(url, place[3])) for url, place in before.items()}
    late = {LATE_FORK: (*before[PARENT][:2], PARENT, "active")}
    assert places(spark) == kept | late | {COPY: (bucket, network, ROOT, "active")}
    assert place(spark, storage, nobody) == 0


def test_answers_are_used_after_a_kill_and_limits_count_all_that_were_asked(
    spark: SparkSession, storage: Storage
) -> None:
    visited(spark, ROOT, SHOWN, was=[b"refs/tags/v3", b"refs/tags/v4"])
    add(spark, COPY, STRANGER, PARENT)

    class Killed(Exception):
        pass

    def ask(urls: Sequence[str]) -> Mapping[str, Tips]:
        assert list(urls) == [COPY, PARENT], "those added first, by their URLs"
        return {COPY: tips(SHOWN), PARENT: tips(refs(*(f"refs/tags/v{number}" for number in range(1, 7))))}

    checks = iter([None, Killed()])

    def check_lease() -> None:
        if (killed := next(checks)) is not None:
            raise killed

    origins = due_origins(spark, storage, LOAD, BUCKETS).rows
    with pytest.raises(Killed):
        place_newcomers(Writer(spark, check_lease), storage, LOAD, BUCKETS, origins, Asking(ask, most=2))
    assert place(spark, storage, nobody, most=2) == 1
    found = places(spark)
    assert found[COPY][2] == ROOT
    assert found[PARENT][2] is None, "the root does not show v3 and v4 any more"


def test_a_host_is_asked_no_more_than_it_gives(spark: SparkSession, storage: Storage) -> None:
    add(spark, COPY, STRANGER, PARENT, "https://few.example/a", "https://few.example/b")
    asked: list[str] = []

    def ask(urls: Sequence[str]) -> Mapping[str, Tips]:
        asked.extend(urls)
        return dict.fromkeys(urls, Tips())

    origins = due_origins(spark, storage, LOAD, BUCKETS).rows
    few = Asking(ask, 9, {"few.example": 1, "new.example": None}.get)
    assert place_newcomers(unleased(spark), storage, LOAD, BUCKETS, origins, few) == 0
    assert set(asked) == {COPY, STRANGER, PARENT, "https://few.example/a"}


@pytest.mark.slow
def test_a_takedown_finds_an_origin_that_was_moved_meanwhile(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    """Its tombstones name the place that it had when the takedown began."""
    visited(spark, ROOT, SHOWN)
    add(spark, COPY)
    bucket, network, *_ = places(spark)[COPY]
    assert place(spark, storage, lambda urls: dict.fromkeys(urls, tips(SHOWN))) == 1
    at = datetime.now(UTC)
    stone = Tombstone("t1", ORIGIN, at, bucket=bucket, network=network, url=COPY)
    add_tombstones(spark, [stone, Tombstone("t1", NETWORK, at, bucket=bucket, network=network)])
    finish_takedowns(unleased(spark), storage, tmp_path)
    assert places(spark).keys() == {ROOT}
    assert spark.read.table(full_name("refs")).where(f"origin = '{ROOT}'").count() == len(SHOWN)
