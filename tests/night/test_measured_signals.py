"""What visits say about the signals before them, and about those that could have come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.forges.pages import Progress, write_page
from pipeline.model.layout import WAREHOUSE, ForgePass, Load
from pipeline.model.listing import LISTINGS, Listing
from pipeline.model.origin import Origin
from pipeline.model.signal import SignalCounts, SignalKind, SignalSource, sum_signals
from pipeline.model.tables import NAMESPACE, ORIGINS
from pipeline.model.visit import VisitStatus
from pipeline.night import publish as publish_module
from pipeline.night.listings import merge_pages
from pipeline.night.origins import apply_visits
from pipeline.night.publish import publish
from pipeline.night.signals import could_tell
from pipeline.rules import signal_nights
from pipeline.rules.signal_nights import measures_listings
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.change import change_rows
from pipeline.tables.failures import SparkFailed
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import Writer, unleased
from tests.night.test_signals import ALL, at, fill_origins, kinds, url_of
from tests.support.spark import until_listeners_are_done
from tests.tables.conftest import night
from tests.tables.landing import BUCKETS, MadeLoad

LISTED_AT, VISITED_AT = at(24), at(30)
"""First the listings, then the visits before; those that are measured come at 48 hours and later."""

SOURCES = (
    SignalSource("f", looked_at=at(40)),
    SignalSource("commits", looked_at=at(40), by_commits=True),
    SignalSource("new-only", looked_at=None),
    SignalSource("asleep", looked_at=at(29)),
    SignalSource("events", looked_at=at(40), below="https://events.example/"),
    SignalSource("events-asleep", looked_at=at(29), below="https://asleep.example/"),
    SignalSource("events-never", looked_at=None, below="https://never.example/"),
)


def told(*names: str, hours: float = 36) -> dict[str, Any]:
    """An origin of which signals told before the visit."""
    return {"signalled_at": at(hours), "signals": list(names)}


def by(host: str, name: str) -> dict[str, Any]:
    return {"url": f"https://{host}.example/o/{name}.git"}


TIME: dict[str, Any] = {"changed_at": at(-9)}
MARK: dict[str, Any] = {"fingerprint": "a"}
HEAD: dict[str, Any] = {"head": b"a" * 20}
FULL, PARTIAL, UNCHANGED, FAILED = VisitStatus.FULL, VisitStatus.PARTIAL, VisitStatus.UNCHANGED, VisitStatus.FAILED

CASES: dict[str, tuple[dict[str, Any], tuple[str, dict[str, Any]] | None, VisitStatus, dict[str, tuple[int, ...]]]] = {
    # the origin; the forge and what it lists; the visit; by kind: right, wrong, changes, told
    "told": (told("updated"), ("f", TIME), FULL, {"updated": (1, 0, 1, 1)}),
    "told-in-vain": (told("updated"), ("f", TIME), UNCHANGED, {"updated": (0, 1, 0, 0)}),
    "told-by-no-listing": (told("updated"), None, FULL, {"updated": (1, 0, 0, 0)}),
    "told-by-people": (told("pushed"), None, PARTIAL, {"pushed": (1, 0, 0, 0)}),
    "told-too-late": (told("updated", hours=60), ("f", TIME), FULL, {"updated": (0, 0, 1, 0)}),
    "told-by-two": (
        told("event", "updated") | by("events", "told-by-two"), ("f", TIME), FULL,
        {"event": (1, 0, 1, 1), "updated": (1, 0, 1, 1)},
    ),
    "told-by-one-of-two": (
        told("event") | by("events", "told-by-one-of-two"), ("f", TIME), FULL,
        {"event": (1, 0, 1, 1), "updated": (0, 0, 1, 0)},
    ),
    "told-by-an-unknown-kind": ({"signalled_at": at(36)}, ("f", TIME), FULL, {}),
    "silent": ({}, ("f", TIME), FULL, {"updated": (0, 0, 1, 0)}),
    "quiet": ({}, ("f", TIME), UNCHANGED, {}),
    "fingerprint": ({}, ("f", TIME | MARK), FULL, {"fingerprint": (0, 0, 1, 0)}),
    "head": ({}, ("f", HEAD), FULL, {"head": (0, 0, 1, 0)}),
    "another-branch": (told("updated"), ("f", TIME | HEAD), FULL, {"updated": (1, 0, 1, 1), "head": (0, 0, 1, 0)}),
    "mirror": ({}, ("f", TIME | {"mirror": True}), FULL, {"committed": (0, 0, 1, 0)}),
    "by-commits": ({}, ("commits", TIME), FULL, {"committed": (0, 0, 1, 0)}),
    "events": (by("events", "events"), None, FULL, {"event": (0, 0, 1, 0)}),
    "bare": ({"url": "https://forge.example/o/bare"}, ("f", TIME), FULL, {"updated": (0, 0, 1, 0)}),
    "without-a-time": ({}, ("f", {}), FULL, {}),
    "private": ({}, ("f", TIME | {"private": True}), FULL, {}),
    "unlisted": ({}, None, FULL, {}),
    "of-a-forge-that-is-gone": ({}, ("gone", TIME), FULL, {}),
    "listed-since": ({"last_visit": at(20)}, ("f", TIME), FULL, {}),
    "not-looked-at-since": ({}, ("asleep", TIME), FULL, {}),
    "never-looked-at": ({}, ("new-only", TIME), FULL, {}),
    "shown-since": ({}, ("new-only", TIME), FULL, {"updated": (0, 0, 1, 0)}),
    "events-asleep": (by("asleep", "x"), None, FULL, {}),
    "events-never": (by("never", "x"), None, FULL, {}),
    "failed-before": (told("updated") | {"failures": 1}, ("f", TIME), FULL, {}),
    "failed": (told("updated"), ("f", TIME), FAILED, {}),
    "first": (told("pushed") | {"last_visit": None}, ("f", TIME), FULL, {}),
}  # fmt: skip


def counts(found: dict[str, tuple[int, ...]]) -> dict[SignalKind, SignalCounts]:
    names = ("right", "wrong", "changes", "told")
    return {SignalKind(kind): SignalCounts(**dict(zip(names, each, strict=True))) for kind, each in found.items()}


def list_all(spark: SparkSession, root: Path, names: set[str], number: int, hours: float) -> None:
    storage = LocalStorage(root)
    forges = {case[1][0] for name, case in CASES.items() if case[1] is not None and name in names}
    for forge in forges:
        found = [
            Listing(name, case[0].get("url", url_of(name)).removesuffix(".git") + ".git", **case[1][1])
            for name, case in CASES.items()
            if name in names and case[1] is not None and case[1][0] == forge
        ]
        place = ForgePass(forge, number)
        write_page(storage, root, place, 1, found, Progress(next=None, pages=1))
        merge_pages(unleased(spark), place, [storage.uri(place.page(1, 1))], ALL, BUCKETS, at(hours))


@pytest.mark.slow
def test_visits_say_which_signals_were_right_and_which_did_not_come(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    fill_origins(spark, {name: {"last_visit": VISITED_AT} | origin for name, (origin, *_) in CASES.items()})
    list_all(spark, tmp_path, set(CASES), 1, 24)
    list_all(spark, tmp_path, {"shown-since"}, 2, 41)
    load = MadeLoad(storage, night(22))
    urls = {name: origin.get("url", url_of(name)) for name, (origin, *_) in CASES.items()}
    for name, (_, _, status, _) in CASES.items():
        load.visit(Origin(urls[name]), status, None if status.ok else "timeout")
    manifests = load.write()
    done = publish(unleased(spark), storage, load.load, manifests, "run1", sources=SOURCES)
    expected = sum_signals(counts(found) for *_, found in CASES.values())
    assert done.signals == expected
    assert len(expected) == len(SignalKind)
    assert kinds(spark) == {urls["told-too-late"]: ["updated"], urls["failed"]: ["updated"]}

    storage.delete(load.load.published)
    again = publish(unleased(spark), storage, load.load, manifests, "run2", sources=SOURCES)
    assert again.signals == expected, "of the commit, if the run was killed after it"


@pytest.mark.slow
def test_buckets_that_are_applied_by_themselves_add_up(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any listing, too."""
    names = "abcdef"
    fill_origins(spark, {name: told("pushed") | {"last_visit": VISITED_AT} for name in names})
    load = MadeLoad(storage, night(22))
    for name in names:
        load.visit(Origin(url_of(name)), UNCHANGED if name == "a" else FULL)

    def weak(writer: Writer, visits: list[str], buckets: list[int], load: Load, sources: Any) -> None:
        if len(buckets) > 1:
            raise SparkFailed("OutOfMemoryError", "two buckets are too many")
        apply_visits(writer, visits, buckets, load, sources)

    monkeypatch.setattr(publish_module, "apply_visits", weak)
    manifests = load.write()
    assert len(manifests) > 1
    done = publish(unleased(spark), storage, load.load, manifests, "run1", sources=SOURCES[:1])
    assert done.signals == counts({"pushed": (5, 1, 0, 0)})


VISITED = ("told", "silent", "told-in-vain")
"""Names of ``CASES``, in two buckets."""


def visited(spark: SparkSession, storage: Storage, root: Path) -> MadeLoad:
    """A load with visits to listed origins."""
    fill_origins(spark, {name: {"last_visit": VISITED_AT} | CASES[name][0] for name in VISITED})
    list_all(spark, root, set(VISITED), 1, 24)
    load = MadeLoad(storage, night(22))
    for name in VISITED:
        load.visit(Origin(url_of(name)), CASES[name][2])
    return load


def break_listings(storage: Storage) -> None:
    """Damage all data files of the table."""
    data = Path(storage.root_uri.removeprefix("file://"), WAREHOUSE, NAMESPACE, LISTINGS.name, "data")
    files = list(data.rglob("*.parquet"))
    assert files
    for file in files:
        file.write_bytes(b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1")


@pytest.mark.slow
def test_listings_that_cannot_be_read_hold_up_no_visit(
    spark: SparkSession, storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load = visited(spark, storage, tmp_path)
    break_listings(storage)
    done = publish(unleased(spark), storage, load.load, load.write(), "run1", sources=SOURCES)
    assert done.signals == counts({"updated": (1, 1, 0, 0)})
    assert done.visits.damaged == ()
    assert kinds(spark) == {}, "visits are applied"
    (said,) = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert "of how many changes signals told is not counted" in said
    assert f"/{LISTINGS.name}/" in said


@pytest.mark.slow
def test_listings_are_read_once_per_load(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the visits are applied, whatever others commit to ``origins``, and in however many parts."""
    load = visited(spark, storage, tmp_path)
    attempts = []

    def weak(writer: Writer, visits: list[str], buckets: list[int], load: Load, could: Any) -> None:
        attempts.append(buckets)
        if len(attempts) == 1:
            break_listings(storage)
            raise SparkFailed("OutOfMemoryError", "all at once are too many")
        apply_visits(writer, visits, buckets, load, could)

    def hindered(seen: Any, change: Any, properties: Any) -> None:
        commits.append(change.buckets)
        if len(commits) == 1:
            spark.sql(f"UPDATE {full_name(ORIGINS.name)} SET added_at = added_at")
        change_rows(seen, change, properties)

    commits: list[Any] = []
    monkeypatch.setattr(publish_module, "apply_visits", weak)
    monkeypatch.setattr("pipeline.night.origins.change_rows", hindered)
    published = publish(unleased(spark), storage, load.load, load.write(), "run1", sources=SOURCES)
    assert len(attempts) > 2
    assert len(commits) > len(attempts) - 1, "one was repeated"
    assert published.signals == counts({"updated": (1, 1, 2, 1)})


@pytest.mark.slow
def test_what_is_not_measured_takes_no_job(
    spark: SparkSession,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    visited(spark, storage, tmp_path)
    caplog.clear()
    monkeypatch.setattr(signal_nights, "ROWS_A_NIGHT", 1)  # there are three
    tonight, other = night(24), night(23)
    assert (measures_listings(3, tonight), measures_listings(3, other)) == (True, False)
    before = jobs(spark)
    for each, visits, sources in (
        (Load.of_night(tonight), ["/no/such/file"], ()),
        (Load.of_night(tonight), ["/no/such/file"], SOURCES[-1:]),
        (Load.of_night(tonight), [], SOURCES),
        (Load.of_night(other), ["/no/such/file"], SOURCES[:1]),
        (Load.of_batch(tonight, 1), ["/no/such/file"], SOURCES[:1]),
    ):
        assert could_tell(spark, each, visits, sources) is None
    assert caplog.records == []
    assert not jobs(spark) - before
    assert before


def jobs(spark: SparkSession) -> set[int]:
    """Jobs without a group that Spark remembers: after a thousand it forgets old ones."""
    until_listeners_are_done(spark)
    return set(spark.sparkContext.statusTracker().getJobIdsForGroup())
