"""Housekeeping against real Spark and Iceberg: what goes, what stays, and kills in between."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession

from pipeline.cli.maintain import maintain as command
from pipeline.context.archive import ArchiveInfo
from pipeline.context.config import Config, MaintainSection
from pipeline.context.workplace import Workplace
from pipeline.maintain.retention import apply_nights, plan_nights
from pipeline.maintain.rewrite import (
    SmallFiles,
    apply_manifests,
    apply_small_files,
    plan_manifests,
    plan_small_files,
)
from pipeline.maintain.rubbish import Why
from pipeline.maintain.run_maintain import MaintainReport, maintain, run_maintain
from pipeline.maintain.unreferenced import apply_unreferenced, plan_unreferenced
from pipeline.model.layout import Load, tag_of
from pipeline.model.tables import ALL, BLOBS, REFS, VISITS
from pipeline.night.seal import nights
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.refs import last_changes
from pipeline.tables.settings import SparkSettings
from pipeline.tables.writer import Writer, unleased
from tests.maintain.conftest import BUCKET, ORIGIN, add_nights, files_in, land, night, publish_unchecked
from tests.support.crash import Crash, crash_after
from tests.support.spark import QUICK_SPARK

DAY = 86_400.0
UNCOMPACTED = MaintainSection(
    dailies=2,
    monthlies=0,
    snapshot_age_s=0,
    sweep_after_s=0,
    small_files=1,
    small_manifests=1,
    compact_budget="0s",
)


def held() -> None:
    """A lease check that passes."""


def run(
    spark: SparkSession, storage: Storage, settings: MaintainSection = UNCOMPACTED, *, dry: bool = False, **ages: float
):
    now = time.time() + ages.get("later_s", 0.001)
    scratch = Path(tempfile.gettempdir())
    return maintain(spark, storage, settings, scratch, now=now, writer=None if dry else unleased(spark))


def let_go(
    spark: SparkSession, storage: Storage, *, dailies: int, age_s: float = 0, later_s: float = 0.001, check=held
):
    """The part of a run that handles nights."""
    now = time.time() + later_s
    plan = plan_nights(
        spark, storage, dailies=dailies, monthlies=0, since=now - age_s, retired_before=now - age_s, now=now
    )
    apply_nights(Writer(spark, check), storage, plan)
    return plan


def compact(spark: SparkSession, storage: Storage) -> None:
    small = plan_small_files(spark, small_bytes=1 << 20, most=1)
    apply_small_files(unleased(spark), storage, small, small_bytes=1 << 20, on_damage=pytest.fail)


def rows_of_night(spark: SparkSession, day: int) -> dict[str, int]:
    read = spark.read.option("versionAsOf", tag_of(night(day)))
    return {table.name: len(read.table(full_name(table.name)).collect()) for table in ALL}


def expected_rows(nights_so_far: int) -> dict[str, int]:
    each = {"contents": 2, "blobs": 2, "trees": 2, "commits": 1, "refs": 2, "visits": 1}
    return {table.name: each.get(table.name, 0) * nights_so_far for table in ALL}


def paths(report: MaintainReport) -> Counter[str]:
    return Counter(rubbish.path for rubbish in report.rubbish)


def lineage(spark: SparkSession, table: str) -> list[tuple[object, ...]]:
    rows = spark.sql(f"SELECT _row_id, _last_updated_sequence_number, * FROM {full_name(table)}").collect()
    return sorted(map(tuple, rows), key=lambda row: row[0])


def rubbish_everywhere(storage: Storage) -> set[str]:
    """Files that killed runs leave in the tables' folders and in the landing."""
    left = {
        "tables/code/refs/data/2026-11-02/bucket=1/killed-refs.parquet",
        "tables/code/blobs/data/bucket=1/00000-killed.parquet",
        "tables/code/blobs/metadata/killed-m0.avro",
        f"{Load.of_night(night(2)).landing(1, 'killed')}/blobs.parquet",
        f"{Load.of_night(night(9)).landing(1, 'killed')}/blobs.parquet",
    }
    for path in left:
        storage.replace(path, b"rubbish")
    return left


@pytest.mark.slow
def test_a_dry_run_lists_exactly_what_a_run_deletes(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2, 3, 4, 5)
    rubbish_everywhere(storage)
    before, tags = files_in(storage), IcebergTable(spark, "refs").tags()
    foretold = run(spark, storage, dry=True)
    assert foretold.dry_run
    assert files_in(storage) == before
    assert IcebergTable(spark, "refs").tags() == tags

    done = run(spark, storage)
    assert paths(done) == paths(foretold)
    assert (done.nights, done.snapshots, done.freed_bytes) == (
        foretold.nights,
        foretold.snapshots,
        foretold.freed_bytes,
    )
    assert (done.small_files, done.manifests) == (foretold.small_files, foretold.manifests)
    gone = before - files_in(storage)
    folders = tuple(f"{r.path}/" for r in done.rubbish if r.why in (Why.LANDING, Why.ATTEMPT, Why.PLAN))
    assert {path for path in gone if not path.startswith(folders)} == {
        r.path for r in done.rubbish if r.files == 1
    } & gone
    assert {path for path in gone if path.startswith(folders)} | {r.path for r in done.rubbish} >= gone
    assert done.freed_bytes >= 5 * len(b"rubbish")

    assert nights(spark) == [night(4), night(5)]
    assert list(done.nights) == [night(2), night(3)]
    assert [rows_of_night(spark, day) for day in (4, 5)] == [expected_rows(3), expected_rows(4)]
    assert {small.table for small in done.small_files} == {"blobs", "commits", "refs", "visits"}
    assert storage.list(f"{Load.of_night(night(9)).root}/landing/bucket=1") == []


@pytest.mark.slow
def test_files_of_a_load_go_when_no_live_snapshot_needs_them_and_not_before(
    spark: SparkSession, storage: Storage
) -> None:
    add_nights(spark, storage, 2, 3)
    folder = "tables/code/refs/data/2026-11-02"
    changes = lineage(spark, "refs")
    state = last_changes(spark.table(full_name("refs"))).collect()
    compact(spark, storage)
    let_go(spark, storage, dailies=2)  # both nights stay, and need the small files
    assert len(spark.table(f"{full_name('refs')}.files").collect()) == 1
    assert list(storage.walk(folder))
    assert [rows_of_night(spark, day) for day in (2, 3)] == [expected_rows(1), expected_rows(2)]

    publish_unchecked(spark, storage, land(storage, 4))
    plan = let_go(spark, storage, dailies=1)
    assert {"refs", "visits", "blobs", "commits"} <= {table.table for table in plan.tables if table.snapshots}
    assert nights(spark) == [night(4)]
    assert rows_of_night(spark, 4) == expected_rows(3)
    assert storage.stat(folder) is None, "the landed files, and the folder that is empty then, are gone"
    assert list(storage.walk("tables/code/contents/data/2026-11-02")), "never compacted, so still needed"
    assert not [e.path for e in storage.walk("tables") if e.path.endswith(".crc") and not storage.stat(_summed(e.path))]
    # The refs' order of publishing survived.
    assert lineage(spark, "refs")[: len(changes)] == changes
    before_last = spark.table(full_name("refs")).where(f"night < '{night(4)}'")
    assert sorted(last_changes(before_last).collect()) == sorted(state)
    again = let_go(spark, storage, dailies=1)
    assert not [table for table in again.tables if table.snapshots or table.rubbish or table.retire]


def _summed(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.removeprefix('.').removesuffix('.crc')}"


@pytest.mark.slow
def test_rewriting_keeps_the_ids_and_ages_of_rows(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2, 3, 4)
    tables = ("blobs", "commits", "refs", "visits")
    before = {table: lineage(spark, table) for table in tables}
    small = plan_small_files(spark, small_bytes=1 << 20, most=2)
    assert {(s.table, s.files) for s in small} == {(table, 3) for table in tables}
    apply_small_files(unleased(spark), storage, small, small_bytes=1 << 20, on_damage=pytest.fail)
    assert {table: lineage(spark, table) for table in tables} == before
    assert plan_small_files(spark, small_bytes=1 << 20, most=1) == []

    manifests = plan_manifests(spark, most=2)
    assert {"contents", "trees", *tables} <= {m.table for m in manifests}
    apply_manifests(unleased(spark), manifests)
    assert plan_manifests(spark, most=2) == []
    assert {table: lineage(spark, table) for table in tables} == before
    assert lineage(spark, "contents")[-1][0] == 5


@pytest.mark.slow
def test_contents_and_trees_are_compacted_when_it_is_worth_it(spark: SparkSession, storage: Storage) -> None:
    def rows() -> list[str]:
        tables = [spark.table(full_name(name)).drop("at_head") for name in ("contents", "trees")]
        return sorted(repr(row) for table in tables for row in table.collect())

    add_nights(spark, storage, 2, 3)
    before, settings = rows(), MaintainSection()
    foretold = run(spark, storage, settings, dry=True)
    assert [(s.table, s.bucket, s.files) for s in foretold.to_compact] == [
        (t, BUCKET, 2) for t in ("contents", "trees")
    ]
    assert foretold.compacted == ()
    within = MaintainSection(compact_budget="0.001kB")
    assert run(spark, storage, within, dry=True).to_compact == foretold.to_compact[:1]

    place = Workplace(Config(maintain=settings, spark=SparkSettings(**QUICK_SPARK)), storage)
    done = run_maintain(place)
    assert sorted((c.table, c.bucket, c.before_files, c.after_files) for c in done.compacted) == [
        ("contents", BUCKET, 2, 1),
        ("trees", BUCKET, 2, 1),
    ]
    assert done.to_compact == ()
    assert rows() == before
    assert run_maintain(place).compacted == ()


def test_only_buckets_with_too_many_small_files_are_rewritten(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2, 3)
    assert plan_small_files(spark, small_bytes=1 << 20, most=2) == []
    assert plan_small_files(spark, small_bytes=16, most=1) == []
    assert SmallFiles("refs", ORIGIN.network % 4, 2, 1) in [
        SmallFiles(s.table, s.bucket, s.files, 1) for s in plan_small_files(spark, small_bytes=1 << 20, most=1)
    ]


@pytest.mark.slow
def test_a_job_that_found_a_night_reads_on_after_the_night_is_let_go(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2, 3, 4)
    read = spark.read.option("versionAsOf", tag_of(night(2)))
    running = {table.name: read.table(full_name(table.name)) for table in ALL}
    let_go(spark, storage, dailies=2, age_s=3 * DAY)
    assert nights(spark) == [night(3), night(4)]
    assert {name: len(frame.collect()) for name, frame in running.items()} == expected_rows(1)
    let_go(spark, storage, dailies=2, age_s=3 * DAY, later_s=2.9 * DAY)
    assert {name: len(frame.collect()) for name, frame in running.items()} == expected_rows(1)
    plan = let_go(spark, storage, dailies=2, age_s=3 * DAY, later_s=3.1 * DAY)
    # The first, empty one, and night 2's.
    assert {len(table.snapshots) for table in plan.tables if table.table == "contents"} == {2}
    assert all(sorted(IcebergTable(spark, t.name).tags()) == [tag_of(night(3)), tag_of(night(4))] for t in ALL)
    assert [rows_of_night(spark, day) for day in (3, 4)] == [expected_rows(2), expected_rows(3)]


@pytest.mark.slow
def test_killed_anywhere_no_night_is_half_readable_and_the_next_run_finishes(
    spark: SparkSession, storage: Storage
) -> None:
    add_nights(spark, storage, 2, 3, 4)
    for checks in range(100):
        try:
            let_go(spark, storage, dailies=1, check=crash_after(checks))
            break
        except Crash:
            pass
        for found in nights(spark):
            assert rows_of_night(spark, found.day) == expected_rows(found.day - 1)
    assert checks > 5
    assert nights(spark) == [night(4)]
    # A kill between forgetting a snapshot and deleting its files leaves them to the sweep.
    now = time.time() + 0.001
    few = (BLOBS, REFS, VISITS)
    left = plan_unreferenced(spark, storage, untouched_since=now, published={"2026-11-02", "2026-11-03"}, tables=few)
    apply_unreferenced(unleased(spark), storage, left)
    for table in few:
        assert len(IcebergTable(spark, table.name).tags()) == 1
        assert len(spark.table(f"{full_name(table.name)}.snapshots").collect()) == 1
        folder = f"tables/code/{table.name}/metadata"
        lists = [e.path for e in storage.list(folder) if e.path.endswith(".avro") and "/snap-" in e.path]
        assert len(lists) == 1
    assert rows_of_night(spark, 4) == expected_rows(3)


@pytest.mark.slow
def test_an_unfinished_load_keeps_what_it_was_planned_on(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2, 3)
    unfinished = land(storage, 4)
    storage.create(unfinished.load.plan, b"{}")
    (manifest,) = unfinished.write()
    moved = f"tables/code/refs/data/{unfinished.load.name}/bucket={manifest.bucket}/moved.parquet"
    storage.rename(manifest.files[0].path, moved)
    storage.create(unfinished.load.manifest(manifest.bucket), manifest.model_dump_json().encode())
    live = {row.file_path for row in spark.table(f"{full_name('refs')}.files").collect()}
    report = run(spark, storage, UNCOMPACTED.model_copy(update={"dailies": 1}))
    assert report.unfinished == (unfinished.load.name,)
    assert report.nights == (night(2),)
    assert report.snapshots == {}
    assert {small.table for small in report.small_files} >= {"refs"}
    for uri in live:
        assert os.path.exists(uri.removeprefix("file://"))
    assert storage.stat(moved) is not None
    assert all(storage.stat(file.path) is not None for file in manifest.files[1:])


def test_files_that_may_still_be_committed_stay(spark: SparkSession, storage: Storage) -> None:
    add_nights(spark, storage, 2)
    rubbish_everywhere(storage)
    young = plan_unreferenced(
        spark, storage, untouched_since=time.time() - DAY, published={"2026-11-02"}, tables=(REFS, BLOBS)
    )
    assert young == []
    old = plan_unreferenced(spark, storage, untouched_since=time.time() + 1, published=set(), tables=(REFS, BLOBS))
    assert {r.path for table in old for r in table.rubbish} == {
        "tables/code/blobs/data/bucket=1/00000-killed.parquet",
        "tables/code/blobs/metadata/killed-m0.avro",
    }


@pytest.mark.slow
def test_the_command_takes_the_lease_but_a_dry_run_does_not(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tables.session.open_session", lambda *args: spark)
    add_nights(spark, storage, 2)
    storage.create("archive.json", ArchiveInfo.new(4).model_dump_json().encode())
    where = ["--archive", storage.root_uri]
    with Lease.acquire(storage, Owner.here("other"), heartbeat=False):
        refused = CliRunner().invoke(command, where)
        assert (refused.exit_code, "held by" in refused.output) == (4, True)
        looked = CliRunner().invoke(command, [*where, "--dry-run"])
        assert (looked.exit_code, "Nothing was changed" in looked.output) == (0, True)
    done = CliRunner().invoke(command, [*where, "--output", "json"])
    assert done.exit_code == 0
    assert '"freed_bytes": 0' in done.stdout
    assert storage.stat("lease.json") is None
