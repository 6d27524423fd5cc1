"""Compaction against real Spark and Iceberg."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession

from pipeline.context.config import Config, FetchSection, MaintainSection
from pipeline.context.workplace import Workplace
from pipeline.maintain.compact import Compacted, Manner, Writing, bucket_stats, compact, layout_of
from pipeline.maintain.rewrite_piece import Files, Layout
from pipeline.maintain.run_compact import run_compact
from pipeline.maintain.spread import Spread
from pipeline.maintain.stored_stats import stored_stats
from pipeline.model.origin import Origin
from pipeline.model.tables import CONTENTS, HEAD_BLOBS
from pipeline.read.inventory.ledger import read_ledger
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import PieceJobs
from pipeline.rules.compaction import COMPACTED, Bounds, by_gain
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.maintained import BucketFiles, MaintainedTable
from pipeline.tables.settings import SparkSettings
from pipeline.tables.writer import Writer
from tests.maintain.conftest import BUCKET, ORIGIN, add_nights, land, publish_unchecked
from tests.support.spark import QUICK_SPARK
from tests.tables.landing import BUCKETS

LAYOUT, BOUNDS = layout_of(MaintainSection()), Bounds()
OBJECTS = "network, oid, size, ext, name, content"


def held() -> None:
    """A lease check that passes."""


def run(
    spark: SparkSession,
    storage: Storage,
    scratch: Path,
    check=held,
    *,
    renew: bool = True,
    layout: Layout = LAYOUT,
    bounds: Bounds = BOUNDS,
    damaged: list[str] | None = None,
    writing: Writing | None = None,
) -> list[Compacted]:
    on_damage = pytest.fail if damaged is None else damaged.append
    manner = Manner(layout, PieceJobs(2, 1), scratch, lambda: renew, bounds, on_damage)
    known = bucket_stats(spark)
    chosen = by_gain(known)
    stored = [stats for table in ("contents", "trees") for stats in stored_stats(storage, table)]
    assert stored == sorted(known, key=lambda stats: (stats.table, stats.bucket)), "without Spark as with it"
    return list(
        compact(spark, storage, chosen, Budget(), manner, writing or (lambda _: nullcontext(Writer(spark, check))))
    )


def rows(spark: SparkSession, columns: str = OBJECTS) -> list[Row]:
    return sorted(spark.sql(f"SELECT {columns} FROM {full_name('contents')}").collect(), key=str)


def put_at_head(spark: SparkSession, *names: str) -> None:
    """Make ``head_blobs`` list the blobs of these contents."""
    found = spark.sql(f"SELECT oid, content FROM {full_name('contents')}").collect()
    cells = {"bucket": BUCKET, "network": ORIGIN.network}
    made = [
        [{**cells, "name": text, "oid": bytes(row.oid)}.get(c) for c in HEAD_BLOBS.column_names]
        for row in found
        if (text := bytes(row.content).decode().strip()) in names
    ]
    assert len(made) == len(names)
    local_frame(spark, made, HEAD_BLOBS.arrow_schema).writeTo(full_name("head_blobs")).append()


def groups(spark: SparkSession, storage: Storage) -> list[list[bool]]:
    """Flags of each row group of contents, in order."""
    flags = []
    for row in spark.table(f"{full_name('contents')}.files").where("content = 0").collect():
        with storage.open(storage.path_of(row.file_path) or "") as stream, pq.ParquetFile(stream) as file:
            flags += [file.read_row_group(n, ["at_head"])["at_head"].to_pylist() for n in range(file.num_row_groups)]
    return flags


@pytest.mark.slow
def test_sorted_without_doubles_and_deleted_rows_with_flags_as_they_are_now(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    add_nights(spark, storage, 2, 3)
    again = land(storage, 4)
    again.rows["contents"][1].update(land(storage, 3).rows["contents"][1])  # an object that is there already
    publish_unchecked(spark, storage, again)
    spark.sql(f"DELETE FROM {full_name('contents')} WHERE name = 'README' AND decode(content, 'UTF-8') LIKE '%3%'")
    put_at_head(spark, "day 4", "print(2)")
    before = rows(spark)
    assert len(before) == 5
    trees = spark.table(full_name("trees")).count()
    done = run(spark, storage, tmp_path)
    assert {c.table for c in done} == {"contents", "trees"}
    assert {c.bucket for c in done} == {BUCKET}
    assert rows(spark) == sorted(set(before), key=str)
    assert len(set(before)) == 4
    assert spark.table(full_name("trees")).count() == trees
    flagged = {bytes(r.content).decode().strip() for r in rows(spark, "content, at_head") if r.at_head}
    assert flagged == {"day 4", "print(2)"}
    assert groups(spark, storage) == [[True, True], [False, False]]
    assert spark.table(f"{full_name('contents')}.files").where("content != 0").count() == 0
    assert run(spark, storage, tmp_path) == [], "nothing was added since"


def test_an_append_meanwhile_is_not_lost_and_a_kill_before_the_commit_changes_nothing(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    add_nights(spark, storage, 2, 3)
    before = rows(spark)

    class Killed(Exception):
        pass

    def killed() -> None:
        raise Killed

    with pytest.raises(Killed):
        run(spark, storage, tmp_path, killed, renew=False)
    assert rows(spark) == before

    late = iter([land(storage, 4)])

    def appending() -> None:
        for landing in late:
            publish_unchecked(spark, storage, landing)

    run(spark, storage, tmp_path, appending, renew=False)
    assert set(rows(spark)) > set(before)
    assert len(rows(spark)) == 6
    assert not list(tmp_path.iterdir())


def test_rows_deleted_meanwhile_do_not_come_back(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2, 3)

    def taken_down() -> None:
        spark.sql(f"DELETE FROM {full_name('contents')} WHERE name = 'README'")

    assert [done.table for done in run(spark, storage, tmp_path, taken_down, renew=False)] == ["trees"]
    assert {row.name for row in rows(spark, "name")} == {"a.py"}
    run(spark, storage, tmp_path, renew=False)
    assert {row.name for row in rows(spark, "name")} == {"a.py"}


def test_nothing_is_at_head_where_files_has_no_rows(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2)
    assert any(any(flags) for flags in groups(spark, storage))
    run(spark, storage, tmp_path)
    assert not any(any(flags) for flags in groups(spark, storage))


@pytest.mark.parametrize(("at_head", "pages"), [(False, 1), (True, 2)])
def test_values_are_found_again_in_a_whole_row_group_or_at_head_within_30_mib(
    tmp_path: Path, *, at_head: bool, pages: int
) -> None:
    copies, noise = 40, random.Random(0).randbytes(1 << 20)
    cells = {
        "bucket": BUCKET,
        "network": ORIGIN.network,
        "size": len(noise),
        "content": noise,
        "name": "a",
        "at_head": at_head,
    }
    made = [{**cells, "oid": n.to_bytes(20, "big")} for n in range(copies)]
    writer = Files(CONTENTS, tmp_path, Layout(3, 1 << 30))
    writer.write(pa.Table.from_pylist(made, CONTENTS.arrow_schema), at_head=at_head)
    (path,) = writer.finish()
    assert path.stat().st_size == pytest.approx(pages * len(noise), rel=0.3)


def test_small_parts_make_the_same_rows(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2, 3)
    before = rows(spark)
    run(spark, storage, tmp_path, renew=False, layout=replace(LAYOUT, group_bytes=10, file_bytes=1))
    assert rows(spark) == before
    assert len(groups(spark, storage)) == 4


def test_a_damaged_bucket_is_passed_by_and_named(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2, 3)
    path = next(e.path for e in storage.walk("tables/code/contents/data") if e.path.endswith(".parquet"))
    whole = storage.read(path)
    storage.replace(path, whole[:100] + bytes(len(whole) - 200) + whole[-100:])
    damaged: list[str] = []
    done = run(spark, storage, tmp_path, damaged=damaged)
    assert [bucket.table for bucket in done] == ["trees"]
    assert damaged == [path]


NEIGHBOUR = next(o for n in range(99) if (o := Origin(f"https://example.org/{n}")).network % BUCKETS == BUCKET)


def test_several_pieces_of_a_bucket_are_committed_together(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    add_nights(spark, storage, 2, 3)
    publish_unchecked(spark, storage, land(storage, 4, NEIGHBOUR))
    spark.sql(f"DELETE FROM {full_name('contents')} WHERE name = 'README' AND decode(content, 'UTF-8') LIKE '%3%'")
    before = rows(spark)
    assert len(before) == 5
    done = run(spark, storage, tmp_path, renew=False, bounds=Bounds(raw_bytes=20))
    assert {c.table: (c.bucket, c.rows) for c in done} == {"contents": (BUCKET, 5), "trees": (BUCKET, 6)}
    assert all(c.after_files > 2 for c in done)
    assert rows(spark) == before
    assert spark.table(f"{full_name('contents')}.files").where("content != 0").count() == 0
    assert run(spark, storage, tmp_path) == []


def test_a_bucket_of_one_piece_takes_one_job_and_heads_that_are_as_they_were_are_listed_once(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_nights(spark, storage, 2, 3)
    jobs, scans = [], []
    submit, scan_bucket = Spread.submit, MaintainedTable.scan_bucket

    def submitting(self: Spread, work: Any, items: Any) -> Any:
        jobs.append(len(items))
        return submit(self, work, items)

    def scanning(self: MaintainedTable, *arguments: Any) -> BucketFiles:
        scans.append(self.name.rpartition(".")[2])
        return scan_bucket(self, *arguments)

    monkeypatch.setattr(Spread, "submit", submitting)
    monkeypatch.setattr(MaintainedTable, "scan_bucket", scanning)
    before = rows(spark)
    assert {done.table: done.after_files for done in run(spark, storage, tmp_path)} == {"contents": 1, "trees": 1}
    assert rows(spark) == before
    assert jobs == [1, 1]
    assert sorted(scans) == ["contents", "head_blobs", "trees"]


def test_a_night_while_a_compaction_runs_costs_it_the_buckets_that_changed(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    add_nights(spark, storage, 2, 3)
    before, turns = rows(spark), []

    def writing(patiently: bool) -> AbstractContextManager[Writer]:
        turns.append(patiently)
        if not patiently:
            raise ArchiveHeld(Owner("r1", "h", 7, "night 2026-11-04"), 300.0)
        if turns.count(True) == 1:
            publish_unchecked(spark, storage, land(storage, 4))
            put_at_head(spark, "day 2")
        return nullcontext(Writer(spark, held))

    assert [done.table for done in run(spark, storage, tmp_path, writing=writing)] == ["trees"]
    assert turns[0] is False
    assert set(rows(spark)) > set(before)
    assert {done.table for done in run(spark, storage, tmp_path)} == {"contents", "trees"}
    flagged = {bytes(r.content).decode().strip() for r in rows(spark, "content, at_head") if r.at_head}
    assert flagged == {"day 2"}


def test_files_that_were_swept_before_their_commit_are_not_committed(
    spark: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    add_nights(spark, storage, 2, 3)
    before = rows(spark)

    def swept(patiently: bool) -> AbstractContextManager[Writer]:
        for entry in list(storage.walk("tables/code/contents/data")):
            if COMPACTED in entry.path:
                storage.delete(entry.path)
        return nullcontext(Writer(spark, held))

    assert [done.table for done in run(spark, storage, tmp_path, writing=swept)] == ["trees"]
    assert rows(spark) == before


def test_a_run_holds_the_lease_only_to_commit(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2, 3)
    fetch, settings = FetchSection(scratch=tmp_path / "scratch"), SparkSettings(**QUICK_SPARK)
    place = Workplace(Config(fetch=fetch, spark=settings), storage)
    night = Lease.acquire(storage, Owner.here("r", "night 2026-11-04"), heartbeat=False)

    def begun(self: MaintainedTable, *arguments: Any) -> BucketFiles:
        night.release()
        return scan_bucket(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        scan_bucket = MaintainedTable.scan_bucket
        patch.setattr(MaintainedTable, "scan_bucket", begun)
        done = run_compact(place, Budget(), on_damage=pytest.fail)
    assert {c.table for c in done} == {"contents", "trees"}
    new = [e.path for e in storage.walk("tables/code") if COMPACTED in e.path and e.path.endswith(".parquet")]
    assert new
    assert set(new) <= set(read_ledger(storage).entries)
    assert storage.stat("lease.json") is None
