"""Publish against real Spark and Iceberg: once, twice, after crashes, and not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.manifest import Manifest
from pipeline.model.origin import Origin, bucket_of, network_id
from pipeline.model.tables import ORIGINS, VISITS
from pipeline.model.visit import VisitStatus
from pipeline.night import publish as publish_module
from pipeline.night.landed import move
from pipeline.night.origins import apply_visits
from pipeline.night.publish import publish, read_published
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.create import upgrade_table
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.writer import Writer, unleased
from tests.support.crash import Crash, crash_after
from tests.support.sample import of_the_day
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad

URL = "https://example.org/a"


def small(storage: Storage, spark: SparkSession, day: int = 2) -> MadeLoad:
    (origin,) = add(spark, URL)
    landing = MadeLoad(storage, night(day))
    tree = landing.tree(origin.network, {b"README": b"hello\n", b"src": {b"a.py": b"print(1)\n"}})
    landing.push(origin, landing.commit(origin.network, tree))
    return landing


def counts(spark: SparkSession) -> dict[str, int]:
    return {n: spark.table(n).count() for n in ("contents", "blobs", "trees", "commits", "refs", "visits")}


ALL = {"contents": 2, "blobs": 2, "trees": 2, "commits": 1, "refs": 2, "visits": 1}
NONE = dict.fromkeys(ALL, 0)


@pytest.mark.slow
def test_publishing_twice_gives_the_same_rows(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    first = publish(unleased(spark), storage, landing.load, manifests, "run1")
    assert counts(spark) == ALL
    assert first.tables["contents"].rows == 2
    assert read_published(storage, landing.load) == first
    origins = spark.table("origins").collect()
    assert [(o.last_status, o.state, o.failures, o.next_due) for o in origins] == [("full", "active", 0, night(3))]
    assert publish(unleased(spark), storage, landing.load, manifests, "run2") == first
    assert counts(spark) == ALL
    assert spark.table("origins").collect() == origins


@pytest.mark.slow
@pytest.mark.parametrize("survived", of_the_day((0, 1, 4, 6)))
def test_a_crash_before_any_commit_is_made_good_by_the_next_run(
    spark: SparkSession, storage: Storage, survived: int
) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    with pytest.raises(Crash):
        publish(Writer(spark, crash_after(survived)), storage, landing.load, manifests, "run1")
    assert storage.stat(landing.load.published) is None
    publish(unleased(spark), storage, landing.load, manifests, "run2")
    assert counts(spark) == ALL
    assert spark.table("origins").first().last_status == "full"


@pytest.mark.slow
def test_a_crash_while_files_are_moved(spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    with monkeypatch.context() as patch:

        def move_two(storage: Storage, files: list) -> None:
            move(storage, files[:2])
            raise Crash

        patch.setattr(publish_module, "move", move_two)
        with pytest.raises(Crash):
            publish(unleased(spark), storage, landing.load, manifests, "run1")
    publish(unleased(spark), storage, landing.load, manifests, "run2")
    assert counts(spark) == ALL


@pytest.mark.slow
def test_rubbish_of_killed_attempts_is_not_registered(spark: SparkSession, storage: Storage) -> None:
    killed = small(storage, spark)
    killed.run_id = "killed"
    killed.write()
    landing = small(storage, spark)
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    assert counts(spark) == ALL


@pytest.mark.slow
def test_a_second_night_builds_on_the_first(spark: SparkSession, storage: Storage) -> None:
    first = small(storage, spark)
    publish(unleased(spark), storage, first.load, first.write(), "run1")
    commit = bytes(spark.table("commits").first().oid)
    (origin,) = add(spark, URL)
    second = MadeLoad(storage, night(3), "run2")
    tree = second.tree(origin.network, {b"README": b"changed\n"})
    second.push(origin, second.commit(origin.network, tree, commit))
    publish(unleased(spark), storage, second.load, second.write(), "run2")
    assert counts(spark) == {"contents": 3, "blobs": 3, "trees": 3, "commits": 2, "refs": 4, "visits": 2}


@pytest.mark.slow
def test_a_night_with_visits_only(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    for day, status in enumerate((VisitStatus.UNCHANGED, *[VisitStatus.NOT_FOUND] * 5, VisitStatus.FULL), start=2):
        landing = MadeLoad(storage, night(day), f"run{day}")
        landing.visit(origin, status, None if status.ok else "gone")
        publish(unleased(spark), storage, landing.load, landing.write(), f"run{day}")
        row = spark.table("origins").first()
        assert row.state == ("gone" if day == 7 else "active")
        assert row.failures == (day - 2 if 2 < day < 8 else 0)
    assert counts(spark) == NONE | {"visits": 7}


def dates_of(spark: SparkSession) -> dict[str, tuple[datetime | None, int | None]]:
    """By URL of the origins: the newest commit, and the number of days."""
    rows = spark.table("origins").select("url", "newest_commit", "commit_days").toArrow().to_pylist()
    return {row["url"]: (row["newest_commit"], row["commit_days"]) for row in rows}


NEWEST = datetime(2026, 10, 5, 12, 30, tzinfo=UTC)


@pytest.mark.slow
def test_origins_keep_the_newest_commit_and_the_days_of_all(spark: SparkSession, storage: Storage) -> None:
    origin, fork, new = add(spark, URL, (f"{URL}-fork", URL), f"{URL}-new")
    older, newer = NEWEST - timedelta(days=9), NEWEST + timedelta(days=1)
    visits = [(NEWEST, 3), (None, 0), (older, 2), (newer, 1)]
    expected = [(NEWEST, 3), (NEWEST, 3), (NEWEST, 5), (newer, 6)]
    for day, (dates, after) in enumerate(zip(visits, expected, strict=True), start=2):
        landing = MadeLoad(storage, night(day), f"run{day}")
        landing.visit(origin, dates=dates)
        landing.visit(fork)
        manifests = landing.write()
        publish(unleased(spark), storage, landing.load, manifests, f"run{day}")
        assert dates_of(spark) == {origin.url: after, fork.url: (None, 0), new.url: (None, 0)}
    storage.delete(landing.load.published)
    publish(unleased(spark), storage, landing.load, manifests, "again")
    assert dates_of(spark)[URL] == expected[-1], "each visit counts once"


def as_of_format_4(storage: Storage, manifest: Manifest) -> Manifest:
    """The same manifest, with visits that lack the dates of commits."""
    files = []
    for file in manifest.files:
        if file.table == "visits":
            rows = pq.read_table(BytesIO(storage.read(file.path))).drop_columns(["newest_commit", "commit_days"])
            pq.write_table(rows, sink := BytesIO(), compression="zstd")
            storage.replace(file.path, sink.getvalue())
            digest = hashlib.sha256(sink.getvalue()).hexdigest()
            files.append(file.model_copy(update={"size_bytes": len(sink.getvalue()), "sha256": digest}))
        else:
            files.append(file)
    return manifest.model_copy(update={"files": tuple(files)})


@pytest.mark.slow
def test_a_night_that_began_before_format_5_is_published_after_it(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    for name in ("origins", "visits"):
        spark.sql(f"ALTER TABLE {name} WRITE UNORDERED")
        spark.sql(f"ALTER TABLE {name} DROP COLUMNS (newest_commit, commit_days)")
        unleased(spark).table(name).commit_nothing()
        spark.catalog.refreshTable(name)
    earlier, broken = MadeLoad(storage, night(2), "run2"), MadeLoad(storage, night(3), "run3")
    earlier.visit(origin)
    broken.push(origin, broken.commit(origin.network, broken.tree(origin.network, {b"a": b"1\n"}), b"\1" * 20))
    manifests = [[as_of_format_4(storage, each) for each in landing.write()] for landing in (earlier, broken)]
    for table in (ORIGINS, VISITS):
        upgrade_table(unleased(spark), table, BUCKETS)
    assert dates_of(spark) == {URL: (None, None)}
    for landing, landed in zip((earlier, broken), manifests, strict=True):
        publish(unleased(spark), storage, landing.load, landed, landing.run_id)
        assert dates_of(spark) == {URL: (None, None)}
    visits = spark.table("visits").orderBy("night").collect()
    assert [(row.status, row.error, row.commit_days) for row in visits] == [
        ("full", None, None),
        ("failed", "audit", 0),
    ]

    for day, dates in enumerate([(NEWEST, 2), (None, 0)], start=4):
        landing = MadeLoad(storage, night(day), f"run{day}")
        landing.visit(origin, dates=dates)
        publish(unleased(spark), storage, landing.load, landing.write(), landing.run_id)
        assert dates_of(spark) == {URL: (NEWEST, 2)}


def break_parent(landing: MadeLoad, network: int) -> None:
    landing.commit(network, landing.tree(network, {}), b"\1" * 20)


def break_tree(landing: MadeLoad, network: int) -> None:
    landing.commit(network, b"\2" * 20)


def break_tag(landing: MadeLoad, network: int) -> None:
    landing.tag(network, b"\3" * 20)


def break_tip(landing: MadeLoad, network: int) -> None:
    next(row for row in landing.rows["refs"] if row["network"] == network)["target"] = b"\4" * 20


def double_commit(landing: MadeLoad, network: int) -> None:
    landing.rows["commits"].append(next(row for row in landing.rows["commits"] if row["network"] == network))


def lost_content(landing: MadeLoad, network: int) -> None:
    landing.rows["contents"].remove(next(row for row in landing.rows["contents"] if row["network"] == network))


def content_against_its_word(landing: MadeLoad, network: int) -> None:
    next(row for row in landing.rows["blobs"] if row["network"] == network)["stored"] = "too_large"


GOOD = "https://example.org/good"


def beside_a_good_one(storage: Storage, spark: SparkSession) -> tuple[MadeLoad, Origin]:
    """A night of an origin that will be broken and of a good one in the same bucket."""
    landing = small(storage, spark)
    network = landing.rows["visits"][0]["network"]
    name = next(n for n in range(1000) if bucket_of(network_id(f"{GOOD}{n}"), BUCKETS) == bucket_of(network, BUCKETS))
    (good,) = add(spark, f"{GOOD}{name}")
    tree = landing.tree(good.network, {b"LICENSE": b"free\n"})
    landing.push(good, landing.commit(good.network, tree, message="good"))
    return landing, good


@pytest.mark.slow
def test_visits_apply_to_all_origins_when_spark_fails_on_all_at_once(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halves are applied one after the other; a second call changes nothing."""
    landing = small(storage, spark)
    bucket = bucket_of(landing.rows["visits"][0]["network"], BUCKETS)
    name = next(n for n in range(1000) if bucket_of(network_id(f"{GOOD}{n}"), BUCKETS) != bucket)
    (elsewhere,) = add(spark, f"{GOOD}{name}")
    landing.visit(elsewhere, VisitStatus.NOT_FOUND)

    def weak(writer: Writer, visits: list[str], buckets: list[int], load: Load, sources: object) -> None:
        if len(buckets) > 1:
            raise SparkFailed("OutOfMemoryError", "two buckets are too many")
        apply_visits(writer, visits, buckets, load)

    monkeypatch.setattr(publish_module, "apply_visits", weak)
    manifests = landing.write()
    publish(unleased(spark), storage, landing.load, manifests, "run1")
    once = states_of(spark)
    assert once == {URL: ("full", 0), elsewhere.url: ("not_found", 1)}
    monkeypatch.undo()
    storage.delete(landing.load.published)
    publish(unleased(spark), storage, landing.load, manifests, "run2")
    assert states_of(spark) == once


@pytest.mark.slow
def test_a_deferred_visit_is_recorded_and_leaves_its_origin_due(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    (waiting,) = add(spark, f"{GOOD}deferred")
    landing.visit(waiting, VisitStatus.DEFERRED, "host_closed")
    before = spark.table("origins").where(f"url = '{waiting.url}'").collect()
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    assert spark.table("origins").where(f"url = '{waiting.url}'").collect() == before
    assert states_of(spark) == {URL: ("full", 0), waiting.url: (None, 0)}
    assert visits_of(spark)[waiting.url][:2] == ("deferred", "host_closed")


def states_of(spark: SparkSession) -> dict[str, tuple[str, int]]:
    return {r.url: (r.last_status, r.failures) for r in spark.table("origins").collect()}


def visits_of(spark: SparkSession) -> dict[str, tuple[str, Any, Any]]:
    return {r.origin: (r.status, r.error, r.detail) for r in spark.table("visits").collect()}


ALL_BAD = {
    break_parent: "commits: the parent of a commit is missing: 0101",
    break_tree: "commits: the tree of a commit is missing: 0202",
    break_tag: "tags: the object that a tag points at is missing: 0303",
    break_tip: "refs: the object that a ref points at is missing: 0404",
    double_commit: "commits: an object is there twice",
    lost_content: "blobs: 'stored' disagrees",
    content_against_its_word: "blobs: 'stored' disagrees",
}


@pytest.mark.slow
def test_networks_at_fault_are_left_out_and_the_others_are_not(spark: SparkSession, storage: Storage) -> None:
    landing, good = beside_a_good_one(storage, spark)
    break_parent(landing, Origin(URL).network)
    for visit in landing.rows["visits"]:
        visit |= {"newest_commit": NEWEST, "commit_days": 2}
    words = {URL: ALL_BAD[break_parent]}
    for damage, said in ALL_BAD.items():
        (origin,) = add(spark, f"https://example.org/{damage.__name__}")
        tree = landing.tree(origin.network, {b"f": damage.__name__.encode()})
        landing.push(origin, landing.commit(origin.network, tree))
        damage(landing, origin.network)
        words[origin.url] = said
    manifests = landing.write()
    summary = publish(unleased(spark), storage, landing.load, manifests, "run1")
    assert counts(spark) == {"contents": 1, "blobs": 1, "trees": 1, "commits": 1, "refs": 2, "visits": 9}
    for table in ("contents", "trees", "commits", "refs"):
        assert {row.network for row in spark.table(table).collect()} == {good.network}
    visits = visits_of(spark)
    assert visits.pop(good.url) == ("full", None, None)
    assert {url: visit[:2] for url, visit in visits.items()} == dict.fromkeys(words, ("failed", "audit"))
    assert {url: said for url, said in words.items() if not visits[url][2].startswith(said)} == {}
    after = {r.url: (r.last_status, r.failures) for r in spark.table("origins").collect()}
    assert after == dict.fromkeys(words, ("failed", 1)) | {good.url: ("full", 0)}
    assert dates_of(spark) == dict.fromkeys(words, (None, 0)) | {good.url: (NEWEST, 2)}
    assert summary.visits.origins == {"failed": 8, "full": 1}
    assert {(f.origin, f.error) for f in summary.visits.failed} == {(url, "audit") for url in words}
    kept = sorted(entry.path.rpartition("/")[2] for entry in storage.walk(landing.load.quarantine))
    assert kept == sorted(file.path.rpartition("/")[2] for manifest in manifests for file in manifest.files)
    assert publish(unleased(spark), storage, landing.load, manifests, "run2") == summary
    assert counts(spark)["visits"] == 9


@pytest.mark.slow
def test_an_origin_that_was_left_out_is_archived_once_it_is_healthy(spark: SparkSession, storage: Storage) -> None:
    bad = small(storage, spark)
    bad.rows["trees"].clear()
    publish(unleased(spark), storage, bad.load, bad.write(), "run1")
    assert counts(spark) == NONE | {"visits": 1}
    good = small(storage, spark, day=3)
    publish(unleased(spark), storage, good.load, good.write(), "run2")
    assert counts(spark) == ALL | {"visits": 2}
    assert spark.table("origins").first().last_status == "full"


@pytest.mark.slow
def test_two_new_networks_that_contradict_each_other(spark: SparkSession, storage: Storage) -> None:
    landing, good = beside_a_good_one(storage, spark)
    network = landing.rows["visits"][0]["network"]
    liar = next(n for n in range(network + 1, network + 99) if bucket_of(n, BUCKETS) == bucket_of(network, BUCKETS))
    landing.rows["blobs"].append({**landing.rows["blobs"][0], "network": liar, "sha256": b"\0" * 32})
    landing.rows["contents"].append({**landing.rows["contents"][0], "network": liar})
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    assert {r.network for t in ("contents", "commits", "refs") for r in spark.table(t).collect()} == {good.network}
    assert visits_of(spark)[URL][2].startswith("blobs: an id has two contents")


@pytest.mark.slow
def test_contents_that_differ_from_the_archive(spark: SparkSession, storage: Storage) -> None:
    """The first content counts: a network that agrees with it is not at fault because another one does not."""
    first = small(storage, spark)
    publish(unleased(spark), storage, first.load, first.write(), "run1")
    second = small(storage, spark, day=3)
    network = second.rows["visits"][0]["network"]
    honest = next(n for n in range(network + 1, network + 99) if bucket_of(n, BUCKETS) == bucket_of(network, BUCKETS))
    for table in ("blobs", "contents"):
        second.rows[table].append({**second.rows[table][0], "network": honest})
    second.rows["blobs"][0]["size"] += 1
    publish(unleased(spark), storage, second.load, second.write(), "run2")
    assert counts(spark) == ALL | {"visits": 2, "blobs": 3, "contents": 3}
    assert {r.network for r in spark.table("blobs").collect()} == {network, honest}


def flip_a_bit(storage: Storage, path: str, column: str) -> None:
    """Flip a bit in the last byte of a column's values."""
    data = bytearray(storage.read(path))
    group = pq.ParquetFile(BytesIO(data)).metadata.row_group(0)
    (chunk,) = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column]
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
    storage.replace(path, bytes(data))


def cut(storage: Storage, path: str) -> None:
    storage.replace(path, storage.read(path)[:-10])


def lose(storage: Storage, path: str) -> None:
    storage.delete(path)


def flip(column: str) -> Callable[[Storage, str], None]:
    return lambda storage, path: flip_a_bit(storage, path, column)


def no_parquet(storage: Storage, path: str) -> None:
    storage.replace(path, b"PAR1" + bytes(storage.stat(path).size_bytes - 8) + b"PAR1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "damages",
    [
        [("trees", cut, "bytes instead of"), ("visits", lose, "missing"), ("blobs", no_parquet, "blobs-0.parquet: ")],
        [
            ("commits", flip("oid"), "CRC checksum verification failed"),
            ("refs", lose, "the file is missing"),
            ("visits", flip("origin"), "checksum"),
        ],
    ],
    ids=["files", "bits"],
)
def test_buckets_with_a_damaged_landing_are_left_out_whole(
    spark: SparkSession, storage: Storage, damages: list[tuple[str, Callable[[Storage, str], None], str]]
) -> None:
    landing = MadeLoad(storage, night(2))
    numbered = [f"{URL}-{number}" for number in range(99)]
    urls = [next(url for url in numbered if Origin(url).network % BUCKETS == bucket) for bucket in range(BUCKETS)]
    for origin in add(spark, *urls):
        landing.push(origin, landing.commit(origin.network, landing.tree(origin.network, {b"a": origin.url.encode()})))
    manifests = landing.write()
    landing.plan()
    paths = {}
    for manifest, (table, damage, _) in zip(manifests[1:], damages, strict=True):
        (paths[manifest.bucket],) = [file.path for file in manifest.files if file.table == table]
        damage(storage, paths[manifest.bucket])
    summary = publish(unleased(spark), storage, landing.load, manifests, "run1")
    assert counts(spark) == {"contents": 1, "blobs": 1, "trees": 1, "commits": 1, "refs": 2, "visits": 4}
    visits = visits_of(spark)
    assert visits[urls[0]] == ("full", None, None)
    for bucket, (_, _, words) in enumerate(damages, start=1):
        assert visits[urls[bucket]][:2] == ("failed", "audit")
        assert paths[bucket] in visits[urls[bucket]][2]
        assert words in visits[urls[bucket]][2]
    assert summary.visits.origins == {"failed": 3, "full": 1}
    assert summary.visits.damaged == ()


@pytest.mark.slow
def test_a_flipped_bit_in_a_table_is_an_error_and_no_other_data(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    (path,) = [e.path for e in storage.walk(WAREHOUSE) if "/contents/data/" in e.path and e.path.endswith(".parquet")]
    flip_a_bit(storage, path, "content")
    with pytest.raises(StoredFileDamaged, match="CRC checksum verification failed"), plain_failures(storage.root_uri):
        spark.table("contents").collect()


def archived(storage: Storage, table: str, bucket: int) -> str:
    """The one data file of a bucket of a table."""
    (path,) = [
        entry.path
        for entry in storage.walk(f"{WAREHOUSE}/code/{table}/data")
        if f"/bucket={bucket}/" in entry.path and entry.path.endswith(".parquet")
    ]
    return path


@pytest.mark.slow
def test_an_archived_file_that_is_damaged_holds_up_its_bucket_only(spark: SparkSession, storage: Storage) -> None:
    landing, good = beside_a_good_one(storage, spark)
    bucket = bucket_of(good.network, BUCKETS)
    name = next(n for n in range(1000) if bucket_of(network_id(f"{GOOD}{n}"), BUCKETS) != bucket)
    (elsewhere,) = add(spark, f"{GOOD}{name}")
    commit = landing.commit(elsewhere.network, landing.tree(elsewhere.network, {b"a": b"b\n"}))
    landing.push(elsewhere, commit)
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    path = archived(storage, "commits", bucket)
    flip_a_bit(storage, path, "oid")

    second = MadeLoad(storage, night(3), "run2")
    parent = next(bytes(r.target) for r in spark.table("refs").where(f"origin = '{good.url}'").collect())
    second.push(good, second.commit(good.network, second.tree(good.network, {b"n": b"1\n"}), parent))
    second.push(elsewhere, second.commit(elsewhere.network, second.tree(elsewhere.network, {b"n": b"2\n"}), commit))
    second.visit(Origin(URL), VisitStatus.UNCHANGED)
    before = spark.table("refs").count()
    summary = publish(unleased(spark), storage, second.load, second.write(), "run2")
    assert summary.visits.damaged == (path,)
    assert summary.visits.origins == {"failed": 1, "full": 1, "unchanged": 1}
    assert [(f.origin, f.error) for f in summary.visits.failed] == [(good.url, "damaged")]
    assert path in (summary.visits.failed[0].detail or "")
    assert spark.table("refs").count() == before + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    of_the_day(
        (
            "quarantine.AuditedManifests._write",
            "quarantine.AuditedManifests._keep_evidence",
            "publish.move",
            "publish.apply_visits",
        ),
        each=2,
    ),
)
def test_a_kill_around_a_verdict(
    spark: SparkSession, storage: Storage, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, _ = beside_a_good_one(storage, spark)
    double_commit(landing, Origin(URL).network)
    manifests = landing.write()
    module, _, name = point.partition(".")

    def crash(*arguments: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(f"pipeline.night.{module}.{name}", crash)
        with pytest.raises(Crash):
            publish(unleased(spark), storage, landing.load, manifests, "run1")
    publish(unleased(spark), storage, landing.load, manifests, "run2")
    assert counts(spark) == {"contents": 1, "blobs": 1, "trees": 1, "commits": 1, "refs": 2, "visits": 2}
    assert visits_of(spark)[URL][:2] == ("failed", "audit")
    assert len(list(storage.walk(landing.load.quarantine))) == 6
    assert [e.path for e in storage.walk(landing.load.audits)] == [landing.load.verdict(manifests[0].bucket, 1)]


@pytest.mark.slow
def test_a_manifest_that_is_written_again_changes_nothing_once_publishing_began(
    spark: SparkSession, storage: Storage
) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    with pytest.raises(Crash):
        publish(Writer(spark, crash_after(3)), storage, landing.load, manifests, "run1")
    assert counts(spark)["contents"] == 2
    again = small(storage, spark)
    again.run_id = "run9"
    publish(unleased(spark), storage, again.load, again.write(), "run9")
    assert counts(spark) == ALL


@pytest.mark.slow
@pytest.mark.parametrize("table", ["commits", "visits"])
def test_what_is_lost_once_publishing_began_leaves_out_the_rest_of_its_bucket(
    spark: SparkSession, storage: Storage, table: str
) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    landing.plan()
    with pytest.raises(Crash):
        publish(Writer(spark, crash_after(3)), storage, landing.load, manifests, "run1")
    path = next(e.path for e in storage.walk(f"{WAREHOUSE}/code/{table}/data") if e.path.endswith(".parquet"))
    storage.delete(path)
    for run in ("run2", "run3"):
        publish(unleased(spark), storage, landing.load, manifests, run)
        assert counts(spark) == NONE | {"contents": 2, "visits": 1}
        assert visits_of(spark)[URL][:2] == ("failed", "audit")
