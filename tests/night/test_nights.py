"""Plan, seal, and reading nights back."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.takedown.victims import victims
from pipeline.model.errors import UsageError
from pipeline.model.layout import WAREHOUSE, Load, result_path
from pipeline.model.night_summary import Unpromised
from pipeline.model.objects import ObjectType
from pipeline.model.origin import Origin
from pipeline.model.pattern import Pattern
from pipeline.model.visit import VisitStatus
from pipeline.night.derive import derive
from pipeline.night.kept_out import read_kept_out
from pipeline.night.opt_outs import kept_out_now
from pipeline.night.plan import PlanSummary, read_plan, restore_plan_summary, write_plan
from pipeline.night.publish import publish
from pipeline.night.schedule import Limits
from pipeline.night.seal import seal
from pipeline.night.standing import opt_out, pause
from pipeline.read.archive import Archive
from pipeline.read.nights import NightNotFound, NotAnArchive
from pipeline.read.one_origin import OriginNotFound
from pipeline.read.restore import restore_repository
from pipeline.read.status import archive_status, origin_status
from pipeline.read.stored_archive import NoSuchTable
from pipeline.read.submit.results import BadResult, Lineage, write_result
from pipeline.read.submit.stored_results import read_result
from pipeline.rules.night_budget import NightBudget
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.create import create_tables
from pipeline.tables.iceberg import IcebergTable
from pipeline.tables.writer import Writer, unleased
from pipeline.workflows.plan_load import plan_is_whole
from tests.support.crash import Crash, crash_after
from tests.support.tables import made_once
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad, oid_of

if TYPE_CHECKING:
    from pipeline.context.run import Run

URL = "https://example.org/a"
FORK = "https://example.org/fork"
OTHER = "https://example.org/other"


def finish(spark: SparkSession, storage: Storage, landing: MadeLoad) -> None:
    publish(unleased(spark), storage, landing.load, landing.write(), landing.run_id)
    derive(unleased(spark), storage, landing.load)
    seal(unleased(spark), landing.load)


@made_once
def two_nights(spark: SparkSession, storage: Storage) -> tuple[Origin, bytes, bytes]:
    (origin,) = add(spark, URL)
    first = MadeLoad(storage, night(2), "run2")
    one = first.commit(origin.network, first.tree(origin.network, {b"a.py": b"1\n", b"x": {b"b.c": b"int x;\n"}}))
    first.push(origin, one)
    first.ref(origin, "refs/heads/old", one)
    first.ref(origin, "refs/tags/v1", first.tag(origin.network, one), peeled=one)
    finish(spark, storage, first)
    second = MadeLoad(storage, night(3), "run3")
    two = second.commit(origin.network, second.tree(origin.network, {b"c.py": b"3\n"}), one)
    second.push(origin, two)
    second.ref(origin, "refs/heads/old", None)
    finish(spark, storage, second)
    return origin, one, two


@pytest.mark.slow
def test_nights_read_back_as_they_were(spark: SparkSession, storage: Storage) -> None:
    archive = Archive(spark)
    assert archive.nights() == []
    assert archive.table("commits").count() == 0
    origin, one, two = two_nights(spark, storage)
    third = MadeLoad(storage, night(4), "run4")
    third.push(origin, third.commit(origin.network, third.tree(origin.network, {}), two))
    publish(unleased(spark), storage, third.load, third.write(), "run4")  # not sealed

    assert archive.nights() == [night(2), night(3)]
    assert archive.table("commits").count() == 2
    assert archive.table("commits", night(2)).count() == 1
    assert Archive(spark, night(2)).table("files").count() == 2
    assert {r.path for r in archive.table("files").collect()} == {"c.py"}

    assert archive.register_views(night(2)) == night(2)
    assert bytes(spark.sql("SELECT oid FROM commits").first().oid) == one

    refs = {r.name: r for r in archive.refs_at(URL)}
    assert set(refs) == {"HEAD", "refs/heads/main", "refs/tags/v1"}
    assert bytes(refs["HEAD"].target) == two
    assert refs["refs/tags/v1"].night == night(2)
    assert "refs/heads/old" in {r.name for r in archive.refs(night(2)).collect()}

    ids = archive.snapshots(night(2))
    assert ids["origins"] == IcebergTable(spark, "origins").tags()["night-2026-11-02"]

    with pytest.raises(NightNotFound, match="no night 2026-11-09; the archive has 2, the latest are 2026-11-02,"):
        archive.table("commits", night(9))
    with pytest.raises(NoSuchTable, match="known tables: blobs, commits"):
        archive.table("packs")


def flip_statistics(storage: Storage, path: str, value: bytes) -> None:
    """Flip a bit of the least value that a footer has, wherever it is."""
    data = bytearray(storage.read(path))
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for at in range(footer, len(data)):
        if data.startswith(value, at):
            data[at] ^= 64
    storage.replace(path, bytes(data))


@pytest.mark.slow
def test_flipped_statistics_stop_a_restore_a_plan_and_a_takedown(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    origin, _, _ = two_nights(spark, storage)
    whole = Archive(spark, storage=storage)
    assert restore_repository(storage, URL, tmp_path / "whole", tmp_path / "scratch").refs == 2
    for path in sorted(e.path for e in storage.walk(f"{WAREHOUSE}/code/refs/data") if e.path.endswith(".parquet")):
        flip_statistics(storage, path, origin.network.to_bytes(8, "little", signed=True))
    assert Archive(spark).refs_at(URL, network=origin.network) == [], "what Spark makes of it"
    with pytest.raises(StoredFileDamaged, match=r"/refs/data/.*its footer does not match its checksum"):
        restore_repository(storage, URL, tmp_path / "damaged", tmp_path / "scratch")
    with pytest.raises(StoredFileDamaged, match="/refs/data/"):
        whole.register_views()
    bucket = origin.network % BUCKETS
    with pytest.raises(StoredFileDamaged, match="/refs/data/"):
        victims(spark, storage, bucket, origin.network, [], tmp_path / "scratch")
    plan = write_plan(unleased(spark), storage, Load.of_night(night(20)), BUCKETS)
    assert (plan.origins_due, len(plan.damaged)) == (0, 1)
    assert "/refs/data/" in plan.damaged[0]


def test_objects_come_back_exactly(spark: SparkSession, storage: Storage) -> None:
    origin, one, two = two_nights(spark, storage)
    bucket = spark.table("origins").first().bucket
    found = list(Archive(spark).objects(origin.network, bucket))
    assert all(oid_of(o.type.word, o.body) == o.oid for o in found)
    types = [o.type.text for o in found]
    assert sorted(set(types), key=types.index) == ["commit", "tag", "tree", "blob"]
    assert {o.oid for o in found if o.type is ObjectType.COMMIT} == {one, two}
    assert len(found) == 2 + 1 + 3 + 3
    second = Archive(spark, night(2)).objects(origin.network, bucket)
    assert {o.oid for o in second if o.type is ObjectType.COMMIT} == {one}
    assert list(Archive(spark).objects(origin.network + BUCKETS, bucket)) == []


def test_a_night_is_there_only_when_all_tables_have_it(spark: SparkSession) -> None:
    load = Load.of_night(night(2))
    with pytest.raises(Crash):
        seal(Writer(spark, crash_after(5)), load)
    assert Archive(spark).nights() == []
    seal(unleased(spark), load)
    assert Archive(spark).nights() == [night(2)]
    seal(unleased(spark), load)


def plan_rows(storage: Storage, load: Load, bucket: int, what: str = "origins") -> list[dict]:
    folder = f"{load.root}/plan/{what}/bucket={bucket}"
    files = [e.path for e in storage.list(folder) if e.path.endswith(".parquet")]
    assert len(files) == 1
    with storage.open(files[0]) as stream:
        return pq.ParquetFile(stream).read().to_pylist()


@pytest.mark.slow
def test_a_plan_names_due_origins_their_networks_and_files(spark: SparkSession, storage: Storage) -> None:
    origin, one, two = two_nights(spark, storage)
    _fork, _other = add(spark, (FORK, URL), OTHER)
    pause(spark, [Pattern(OTHER)])
    load = Load.of_night(night(3))  # URL is due again on the 4th only
    bucket = origin.network % BUCKETS
    assert write_plan(unleased(spark), storage, load, BUCKETS) == PlanSummary(1, {bucket: 1})
    assert read_plan(storage, load) == PlanSummary(1, {bucket: 1})
    rows = {row["url"]: row for row in plan_rows(storage, load, bucket)}
    assert set(rows) == {URL, FORK}
    assert (rows[FORK]["due"], rows[FORK]["first_visit"]) == (True, True)
    assert rows[FORK]["fork_of"] == URL
    assert (rows[URL]["due"], rows[URL]["first_visit"], rows[URL]["network"]) == (False, False, origin.network)
    planned = plan_rows(storage, load, bucket, "refs")
    assert [(row["url"], row["name"]) for row in planned if row["url"] == FORK] == [(FORK, None)]
    refs = {row["name"]: row for row in planned if row["url"] == URL}
    assert refs[b"HEAD"]["symref"] == b"refs/heads/main"
    main = {"network": origin.network, "url": URL, "target": two, "peeled": None, "symref": None}
    assert refs[b"refs/heads/main"] == {"name": b"refs/heads/main", **main}
    assert refs[b"refs/tags/v1"]["peeled"] == one
    assert set(refs) == {b"HEAD", b"refs/heads/main", b"refs/tags/v1"}
    files = plan_rows(storage, load, bucket, "files")
    assert {f["table"] for f in files} == {"commits", "trees", "tags", "blobs", "contents"}
    assert all(storage.stat(f["uri"].removeprefix(storage.root_uri + "/")) for f in files)
    assert sum(f["rows"] for f in files if f["table"] == "commits") == 2
    assert {(f["network_min"], f["network_max"]) for f in files} == {(origin.network, origin.network)}
    answers, attempt = load.asked(bucket, 0), f"{load.landing(bucket, 'attempt')}/visits.parquet"
    for path in (answers, attempt):
        storage.create(path, b"of the plan before")
    narrow = Limits(NightBudget(origins=1), greatest_age=2)
    lost = (Unpromised(host="example.org", origins=2, nights=3),)
    expected = PlanSummary(1, {bucket: 1}, unpromised=lost, unpromised_hosts=1)
    assert write_plan(unleased(spark), storage, load, BUCKETS, limits=narrow) == expected, "a night goes on"
    assert read_plan(storage, load) == expected
    assert len(plan_rows(storage, load, bucket)) == 2
    assert storage.stat(answers) is None
    assert storage.stat(attempt) is not None, "another host may still be at it"


def test_a_plan_keeps_what_no_redirect_may_lead_to(spark: SparkSession, storage: Storage) -> None:
    load, run = Load.of_night(night(2)), cast("Run", SimpleNamespace(storage=storage))
    opt_out(spark, [Pattern.of("https://example.org/owner/*")])
    plan = write_plan(unleased(spark), storage, load, BUCKETS)
    assert plan == read_plan(storage, load)
    assert read_kept_out(storage, load, plan.kept_out).rule_for("https://example.org/owner/a") is not None
    assert plan_is_whole(run, load)
    storage.replace(load.plan_kept_out, b"")
    assert not plan_is_whole(run, load)
    restored = restore_plan_summary(storage, load, kept_out_now(spark))
    assert restored.kept_out == plan.kept_out
    assert plan_is_whole(run, load)


def test_nothing_due_makes_an_empty_plan(spark: SparkSession, storage: Storage) -> None:
    load = Load.of_night(night(2))
    assert write_plan(unleased(spark), storage, load, BUCKETS) == PlanSummary(0, {})
    assert json.loads(storage.read(load.plan))["buckets"] == {}


@pytest.mark.slow
def test_non_utf8_refs_are_planned_exactly(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    landing = MadeLoad(storage, night(2))
    commit = landing.commit(origin.network, landing.tree(origin.network, {}))
    landing.ref(origin, "refs/heads/\ufffd", commit)
    landing.rows["refs"][-1]["name_raw"] = b"refs/heads/\xe9"
    landing.visit(origin)
    publish(unleased(spark), storage, landing.load, landing.write(), "run1")
    load = Load.of_night(night(3))
    write_plan(unleased(spark), storage, load, BUCKETS)
    (row,) = plan_rows(storage, load, origin.network % BUCKETS, "refs")
    assert row["name"] == b"refs/heads/\xe9"


def test_adding_and_creating_again_change_nothing(spark: SparkSession) -> None:
    add(spark, URL, URL)
    add(spark, URL, OTHER)
    snapshot = IcebergTable(spark, "origins").current()
    create_tables(spark, BUCKETS)
    assert IcebergTable(spark, "origins").current() == snapshot
    assert sorted(r.url for r in spark.table("origins").collect()) == [URL, OTHER]


def test_status(spark: SparkSession, storage: Storage) -> None:
    two_nights(spark, storage)
    fork, _ = add(spark, (FORK, URL), OTHER)
    landing = MadeLoad(storage, night(4), "run4")
    landing.visit(fork, VisitStatus.FAILED, "timeout")
    publish(unleased(spark), storage, landing.load, landing.write(), "run4")
    status = archive_status(storage, night(4))
    assert status.nights == (night(2), night(3))
    assert status.origins == {"active": 3}
    assert status.last_visits == {"full": 1, "failed": 1, "never": 1}
    assert status.objects == {"contents": 3, "blobs": 3, "trees": 3, "tags": 1, "commits": 2}
    assert status.raw_bytes == len(b"1\nint x;\n3\n")
    assert status.stored_bytes > 1000
    one = origin_status(storage, URL)
    assert [v.status for v in one.visits] == ["full", "full"]
    assert [v.night for v in one.visits] == [night(3), night(2)]
    assert {r.name for r in one.refs} == {"HEAD", "refs/heads/main", "refs/tags/v1"}
    assert origin_status(storage, FORK).visits[0].error == "timeout"
    with pytest.raises(OriginNotFound):
        origin_status(storage, "https://example.org/unknown")


def test_a_place_without_tables(spark: SparkSession) -> None:
    spark.sql("DROP TABLE archive.code.origins")
    with pytest.raises(NotAnArchive):
        Archive(spark).nights()
    create_tables(spark, BUCKETS)


def test_a_first_run_that_failed_leaves_no_columns(spark: SparkSession, storage: Storage) -> None:
    lineage = Lineage("census", "1", (), night(2), {})
    failing = "SELECT CAST(raise_error('no') AS STRING) AS files, 'x' AS other, 1 AS kept"
    with pytest.raises(Exception, match="no"):
        write_result(spark, storage, lineage, spark.sql(failing))
    assert write_result(spark, storage, lineage, spark.sql("SELECT 7L AS files, 1 AS kept")).rows == 1
    stored = spark.table("archive.results.census")
    assert stored.columns == ["kept", "night", "files"]
    assert [tuple(row) for row in stored.collect()] == [(1, night(2), 7)]
    for table in ("census", "runs"):
        spark.sql(f"DROP TABLE archive.results.{table} PURGE")


def test_a_result_may_have_any_type_and_no_rows(spark: SparkSession, storage: Storage) -> None:
    lineage = Lineage("census", "1", (), night(2), {})
    query = (
        "SELECT array('C') AS languages, struct(1 AS one, map('a', 2L) AS two) AS both, "
        "TIMESTAMP_NTZ'2026-11-02 01:00:00' AS local, TIMESTAMP'2026-11-02 01:00:00Z' AS time, "
        "1.5BD AS decimal, X'00' AS raw, true AS sure, 1.0F AS half"
    )
    frame = spark.sql(query)
    assert '"containsNull":false' in frame.schema["languages"].dataType.json()
    assert write_result(spark, storage, lineage, frame).rows == 1
    _, rows = read_result(storage, "census")
    for _ in range(2):
        assert write_result(spark, storage, lineage, frame.where("languages IS NULL")).rows == 0
        _, none = read_result(storage, "census")
        assert none.num_rows == 0
        assert none.schema.names == rows.schema.names
        assert [type_.id for type_ in none.schema.types] == [type_.id for type_ in rows.schema.types]
        assert [field.name for field in none.schema.field("both").type] == ["one", "two"]
    for table in ("census", "runs"):
        spark.sql(f"DROP TABLE archive.results.{table} PURGE")


def test_results_replace_their_night_and_keep_lineage(spark: SparkSession, storage: Storage) -> None:
    def lineage(day: int, version: str = "1") -> Lineage:
        return Lineage("census", version, ("--all",), night(day), {"files": 7})

    first = spark.sql("SELECT 'C' AS language, 2L AS files")
    assert write_result(spark, storage, lineage(2), first).rows == 1
    write_result(spark, storage, lineage(3), first)
    again = spark.sql("SELECT 'C' AS language, 3L AS files, true AS fresh")
    summary = write_result(spark, storage, lineage(3, "2"), again)
    rows = {r.night: (r.files, r.fresh) for r in spark.table("archive.results.census").collect()}
    assert rows == {night(2): (2, None), night(3): (3, True)}
    runs = {r.night: (r.version, list(r.arguments), r["rows"]) for r in spark.table("archive.results.runs").collect()}
    assert runs == {night(2): ("1", ["--all"], 1), night(3): ("2", ["--all"], 1)}
    snapshot = IcebergTable(spark, "census", "results").current()
    assert snapshot is not None
    assert snapshot.id == summary.snapshot
    assert json.loads(snapshot.summary["pipeline.snapshots"]) == {"files": 7}
    assert json.loads(storage.read(result_path("census", night(3))))["version"] == "2"
    with pytest.raises(BadResult, match="column files was bigint and is now string"):
        write_result(spark, storage, lineage(4), spark.sql("SELECT 'x' AS files"))
    with pytest.raises(UsageError, match="lower-case"):
        write_result(spark, storage, Lineage("Bad-Name", "1", (), night(2), {}), first)
    for table in ("census", "runs"):
        spark.sql(f"DROP TABLE archive.results.{table} PURGE")
