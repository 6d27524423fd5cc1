"""Concurrent writers: each commit names the snapshot that it is based on, and no rows are lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load, result_path
from pipeline.model.origin import Origin, OriginState
from pipeline.model.pattern import Pattern
from pipeline.model.tables import ORIGINS
from pipeline.night.derive import derive
from pipeline.night.origins import add_origins
from pipeline.night.plan import last_visits, write_plan
from pipeline.night.publish import publish
from pipeline.night.seal import seal
from pipeline.night.standing import pause
from pipeline.read.archive import Archive
from pipeline.read.submit.results import Lineage, write_result
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import TableBusy, is_conflict, nothing, overwrite, see, until_committed
from pipeline.tables.doubles import find_doubles, mend_doubles
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import IcebergTable, full_name, jvm_of
from pipeline.tables.refs import current_refs
from pipeline.tables.writer import Writer, unleased
from tests.tables.conftest import ADDED, add, night
from tests.tables.landing import BUCKETS, MadeLoad

A, B, C = (f"https://example.org/{name}" for name in "abc")


def session_beside(spark: SparkSession) -> SparkSession:
    """A session like another process's: it shares no catalogue, so it remembers other states of the tables."""
    other = spark.newSession()
    name = "spark.sql.catalog.archive.warehouse"
    other.conf.set(name, spark.conf.get(name) or "")
    return other


def urls(spark: SparkSession) -> list[str]:
    return sorted(row.url for row in see(spark, "origins").rows().collect())


def first_night(storage: Storage, origin: Origin, day: int = 2, text: bytes = b"1\n") -> MadeLoad:
    landing = MadeLoad(storage, night(day), f"run{day}")
    tree = landing.tree(origin.network, {b"a.py": text})
    landing.push(origin, landing.commit(origin.network, tree, message=f"{day}"))
    return landing


def finish(spark: SparkSession, storage: Storage, landing: MadeLoad) -> None:
    publish(unleased(spark), storage, landing.load, landing.write(), landing.run_id)
    derive(unleased(spark), storage, landing.load)
    seal(unleased(spark), landing.load)


@pytest.mark.slow
def test_what_was_added_while_visits_are_applied_stays(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, A)
    other = session_beside(spark)
    landing = first_night(storage, origin)
    checks = []

    def add_meanwhile() -> None:
        checks.append(1)
        if len(checks) > 1 and len(urls(other)) < 40:
            add_origins(other, [Origin(f"https://example.org/new/{n}") for n in range(39)], BUCKETS, ADDED)

    publish(Writer(spark, add_meanwhile), storage, landing.load, landing.write(), "run2")
    assert len(urls(spark)) == 40
    rows = {row.url: row.last_status for row in see(spark, "origins").rows().collect()}
    assert rows.pop(A) == "full"
    assert set(rows.values()) == {None}


def test_a_table_is_that_of_its_session_whichever_is_active(spark: SparkSession, tmp_path: Path) -> None:
    here, there = session_beside(spark), session_beside(spark)
    there.conf.set("spark.sql.catalog.archive.warehouse", tmp_path.as_uri())
    there.sql("SELECT 1").collect()
    add(spark, A)
    jvm_of(spark).org.apache.spark.sql.SparkSession.setActiveSession(there._jsparkSession)
    assert IcebergTable(here, "origins").current() is not None


@pytest.mark.parametrize("forks", [False, True])
def test_a_url_that_is_added_three_times_at_once_is_there_once(spark: SparkSession, forks: bool) -> None:
    sessions = [spark, session_beside(spark), session_beside(spark)]
    start = Barrier(len(sessions))

    def add_one(number: int) -> int:
        start.wait()
        origin = Origin(A, [None, B, C][number] if forks else None)
        return add_origins(sessions[number], [origin], BUCKETS, ADDED)

    with ThreadPoolExecutor(len(sessions)) as pool:
        assert sorted(pool.map(add_one, range(len(sessions)))) == [0, 0, 1]
    assert urls(spark) == [A]


def test_without_naming_what_was_read_rows_are_lost(spark: SparkSession) -> None:
    """The tests above without naming the snapshot to Iceberg."""
    add(spark, A)
    seen = unleased(spark).see("origins")
    add_origins(session_beside(spark), [Origin(B)], BUCKETS, ADDED)
    with pytest.raises(Exception, match="conflicting files") as refused:
        overwrite(seen.rows(), seen, F.lit(True))
    assert is_conflict(refused.value)
    assert urls(spark) == [A, B]
    seen.rows().writeTo(seen.name).overwrite(F.lit(True))
    assert urls(spark) == [A]


@pytest.mark.slow
def test_states_that_people_set_outlive_visits_that_are_applied_meanwhile(
    spark: SparkSession, storage: Storage
) -> None:
    (origin,) = add(spark, A)
    other = session_beside(spark)
    landing = first_night(storage, origin)

    def pause_meanwhile() -> None:
        visits_are_there = IcebergTable(spark, "visits").snapshots_with("pipeline.load", landing.load.name)
        if visits_are_there and last_visits(other, [A])[A].state is not OriginState.PAUSED:
            pause(other, [Pattern(A)])

    publish(Writer(spark, pause_meanwhile), storage, landing.load, landing.write(), "run2")
    row = see(spark, "origins").rows().first()
    assert (row.state, row.last_status) == ("paused", "full")


@pytest.mark.slow
def test_a_load_is_registered_once_by_two_who_publish_it(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run is paused before each of its commits, past its lease, while the other publishes everything."""
    (origin,) = add(spark, A)
    landing = first_night(storage, origin)
    manifests = landing.write()
    other = session_beside(spark)
    real = IcebergTable.append_files
    done: list[str] = []

    def paused(table: IcebergTable, *arguments: object) -> None:
        if not done:
            done.append(table.name)
            monkeypatch.setattr(IcebergTable, "append_files", real)
            publish(unleased(other), storage, landing.load, manifests, "run2")
        real(table, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(IcebergTable, "append_files", paused)
    publish(unleased(spark), storage, landing.load, manifests, "run2")
    assert done
    for table in ("contents", "blobs", "trees", "commits", "refs", "visits"):
        assert len(see(spark, table).iceberg.snapshots_with("pipeline.load", landing.load.name)) == 1
        files = [row.file_path for row in spark.table(f"{full_name(table)}.files").collect()]
        assert len(files) == len(set(files))
    origins = see(spark, "origins")
    assert len(origins.iceberg.snapshots_with("pipeline.load", landing.load.name)) == 1
    assert origins.rows().first().failures == 0


@pytest.mark.slow
def test_whoever_derives_from_older_refs_is_refused(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is paused between reading refs and its first commit, while others publish and derive the next night."""
    (origin,) = add(spark, A)
    first, second = first_night(storage, origin), first_night(storage, origin, 3, b"2\n3\n")
    publish(unleased(spark), storage, first.load, first.write(), "run2")
    other = session_beside(spark)
    checks = []

    def pause() -> None:
        checks.append(1)
        if len(checks) == 1:
            publish(unleased(other), storage, second.load, second.write(), "run3")
            derive(unleased(other), storage, second.load)

    derive(Writer(spark, pause), storage, first.load)
    row = see(spark, "repositories").rows().first()
    assert (row.night, row.bytes) == (night(3), 4)
    assert [row.lines for row in see(spark, "head_blobs").rows().collect()] == [2]
    assert Archive(spark).table("files").count() == 1


def test_a_session_that_looked_long_ago_finds_the_table(spark: SparkSession) -> None:
    """Iceberg deletes old metadata files; a session that knows only such a file could not continue."""
    add(spark, A)
    other = session_beside(spark)
    assert urls(other) == [A]
    unleased(spark).table("origins").set_properties({"write.metadata.previous-versions-max": "1"})
    for url in (B, C):
        add(spark, url)
    assert add_origins(other, [Origin(C), Origin(f"{C}/more")], BUCKETS, ADDED) == 1
    assert urls(spark) == [A, B, C, f"{C}/more"]


def test_a_table_that_is_always_changed_by_others_is_told(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.conflicts.ATTEMPTS", 2)
    other, count = session_beside(spark), iter(range(9))
    row = (0, 0, A, None, "active", ADDED, *(None,) * 4, 0, *(None,) * (len(ORIGINS.columns) - 11))

    def too_late() -> None:
        seen = unleased(spark).see("origins")
        add_origins(other, [Origin(f"{B}{next(count)}")], BUCKETS, ADDED)
        overwrite(local_frame(spark, [row], ORIGINS.arrow_schema), seen, nothing())

    with pytest.raises(TableBusy, match=r"origins was changed by others each of the 2 times") as told:
        until_committed("origins", too_late)
    assert told.value.retryable
    assert A not in urls(spark)


def doubled(spark: SparkSession, table: str, change: Callable[[str], str] = lambda c: c) -> None:
    """Append the rows of a table again, as an earlier version could."""
    frame = spark.table(full_name(table))
    columns = [F.expr(change(name)).alias(name) for name in frame.columns]
    frame.select(*columns).writeTo(full_name(table)).append()


@pytest.mark.slow
def test_readers_of_a_doubled_key_do_not_multiply(spark: SparkSession, storage: Storage) -> None:
    origin, _ = add(spark, A, B)
    first = first_night(storage, origin)
    publish(unleased(spark), storage, first.load, first.write(), "run2")
    derive(unleased(spark), storage, first.load)
    for table in ("origins", "repositories", "files", "head_blobs"):
        doubled(spark, table)
    found = {doubles.table: doubles for doubles in find_doubles(spark)}
    assert {name: doubles.surplus for name, doubles in found.items()} == {
        "origins": 2, "repositories": 1, "files": 2, "head_blobs": 1,
    }  # fmt: skip
    assert A in found["origins"].examples

    second = first_night(storage, origin, 3, b"2\n3\n")
    plan = write_plan(unleased(spark), storage, second.load, BUCKETS)
    assert plan.origins_due == 2
    assert set(last_visits(spark, [A, B])) == {A, B}
    publish(unleased(spark), storage, second.load, second.write(), "run3")
    assert derive(unleased(spark), storage, second.load).moved == 1
    assert see(spark, "repositories").rows().count() == 1
    assert Archive(spark).table("files").count() == 1
    assert see(spark, "repositories").rows().first().bytes == 4


@pytest.mark.slow
def test_doubled_keys_are_mended(spark: SparkSession, storage: Storage) -> None:
    """Including an origin that exists as a fork and as a root, in separate networks."""
    origin, fork = add(spark, A, (B, C))
    first = first_night(storage, origin)
    first.push(fork, first.commit(fork.network, first.tree(fork.network, {b"b.py": b"\n"})))
    publish(unleased(spark), storage, first.load, first.write(), "run2")
    derive(unleased(spark), storage, first.load)
    before = [sorted(map(str, see(spark, t).rows().collect())) for t in ("repositories", "files", "head_blobs")]
    never_visited = {"last_visit": "null", "last_status": "null"}
    root = Origin(B)
    elsewhere = {"network": str(root.network), "bucket": str(root.network % BUCKETS), "fork_of": "null"}
    fork_only = spark.table(full_name("origins")).where(F.col("url") == B)
    changes = {**never_visited, **elsewhere}
    fork_only.select(
        *(F.expr(f"cast({changes.get(f.name, f.name)} AS {f.dataType.simpleString()})").alias(f.name)
          for f in fork_only.schema)
    ).writeTo(full_name("origins")).append()  # fmt: skip
    for table in ("files", "repositories"):
        rows = Archive(spark).table(table).where(F.col("origin") == B)
        rows = rows.withColumn("network", F.lit(root.network)).withColumn(
            "bucket", F.lit(root.network % BUCKETS).cast("int")
        )
        rows.select("*", *(F.lit(None).cast("bigint").alias(n) for n in ("line", "base") if table == "files")).writeTo(
            full_name(table)
        ).append()
    doubled(spark, "head_blobs")
    assert mend_doubles(unleased(spark)) == {"origins": 1, "files": 1, "head_blobs": 2, "repositories": 1}
    assert find_doubles(spark) == []
    assert mend_doubles(unleased(spark)) == {}
    assert [sorted(map(str, see(spark, t).rows().collect())) for t in ("repositories", "files", "head_blobs")] == before
    kept = {row.url: row for row in see(spark, "origins").rows().collect()}
    assert (kept[B].fork_of, kept[B].last_status) == (C, "full")


@pytest.mark.slow
def test_a_load_dated_before_the_newest_night_counts_by_when_it_is_published(
    spark: SparkSession, storage: Storage
) -> None:
    (origin,) = add(spark, A)
    newest = first_night(storage, origin, 9)
    newest.ref(origin, "refs/heads/old", newest.commit(origin.network, newest.tree(origin.network, {b"a.py": b"1\n"})))
    finish(spark, storage, newest)

    batch = first_night(storage, origin, 5, b"2\n3\n")
    batch.ref(origin, "refs/heads/old", None)
    batch.load = Load.of_batch(night(5), 1)
    publish(unleased(spark), storage, batch.load, batch.write(), "run5")
    derive(unleased(spark), storage, batch.load)

    later = batch.rows["commits"][0]["oid"]
    now = {"HEAD": later, "refs/heads/main": later}
    current = current_refs(see(spark, "refs").rows()).collect()
    assert {row.name: row.target and bytes(row.target) for row in current} == now
    row = see(spark, "repositories").rows().first()
    assert (bytes(row.head_commit), row.branches, row.bytes, row.night) == (later, 1, 4, night(5))
    stood = see(spark, "origins").rows().first()
    assert stood.last_visit.day == 5

    tenth = Load.of_night(night(10))
    assert write_plan(unleased(spark), storage, tenth, BUCKETS).origins_due == 1
    planned = spark.read.parquet(storage.uri(tenth.plan_refs)).collect()
    assert {bytes(ref["name"]).decode(): bytes(ref.target) for ref in planned} == now
    seal(unleased(spark), tenth)
    assert {row.name: bytes(row.target) for row in Archive(spark).refs_at(A)} == now


def test_two_first_results_of_a_job_at_once(spark: SparkSession, storage: Storage) -> None:
    sessions = [spark, session_beside(spark), session_beside(spark)]
    start = Barrier(len(sessions))

    def write(number: int) -> int:
        mine = sessions[number]
        lineage = Lineage("census", str(number), (), night(2), {"files": number})
        rows = mine.sql(f"SELECT {number} AS n, true AS only_{number}")
        start.wait()
        return write_result(mine, storage, lineage, rows).snapshot

    with ThreadPoolExecutor(len(sessions)) as pool:
        snapshots = list(pool.map(write, range(len(sessions))))
    (row,) = see(spark, "census", "results").rows().collect()
    assert row[f"only_{row.n}"]
    told = json.loads(storage.read(result_path("census", night(2))))
    (run,) = see(spark, "runs", "results").rows().collect()
    assert (told["version"], told["snapshot"], told["snapshots"]) == (str(row.n), snapshots[row.n], {"files": row.n})
    assert (run.version, run.result_snapshot) == (str(row.n), snapshots[row.n])
    for table in ("census", "runs"):
        spark.sql(f"DROP TABLE archive.results.{table} PURGE")
