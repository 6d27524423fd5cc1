"""Compaction against real Spark and Iceberg."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession

from pipeline.config import MaintainSection
from pipeline.maintain import compact as module
from pipeline.maintain.compact import Compacted, _Files, bucket_stats, compact
from pipeline.model.tables import CONTENTS, HEAD_BLOBS
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import by_gain
from pipeline.storage.interface import Storage
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import Writer, unleased
from tests.maintain.conftest import BUCKET, ORIGIN, add_nights, land, publish_unchecked

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
    settings: MaintainSection | None = None,
) -> list[Compacted]:
    settings, chosen = settings or MaintainSection(), by_gain(bucket_stats(spark))
    writer = Writer(spark, check)
    return list(compact(writer, storage, settings, chosen, Budget(), scratch=scratch, renew=renew))


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


def test_a_row_group_is_one_page_across_which_values_are_found_again(tmp_path: Path) -> None:
    copies, noise = 40, random.Random(0).randbytes(1 << 20)
    cells = {
        "bucket": BUCKET,
        "network": ORIGIN.network,
        "size": len(noise),
        "content": noise,
        "name": "a",
        "at_head": True,
    }
    made = [{**cells, "oid": n.to_bytes(20, "big")} for n in range(copies)]
    writer = _Files(CONTENTS, tmp_path, level=3)
    writer.write(pa.Table.from_pylist(made, CONTENTS.arrow_schema))
    (path,) = writer.finish()
    assert path.stat().st_size < 1.5 * len(noise)


def test_small_parts_make_the_same_rows(
    spark: SparkSession, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_nights(spark, storage, 2, 3)
    before = rows(spark)
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    run(spark, storage, tmp_path, renew=False, settings=MaintainSection().model_copy(update={"compact_bytes": 10}))
    assert rows(spark) == before
    assert len(groups(spark, storage)) == 4


def test_a_damaged_bucket_is_passed_by_and_named(spark: SparkSession, storage: Storage, tmp_path: Path) -> None:
    add_nights(spark, storage, 2, 3)
    path = next(e.path for e in storage.walk("tables/code/contents/data") if e.path.endswith(".parquet"))
    whole = storage.read(path)
    storage.replace(path, whole[:100] + bytes(len(whole) - 200) + whole[-100:])
    damaged: list[str] = []
    chosen = by_gain(bucket_stats(spark))
    done = compact(
        unleased(spark),
        storage,
        MaintainSection(),
        chosen,
        Budget(),
        scratch=tmp_path,
        renew=True,
        on_damage=damaged.append,
    )
    assert [bucket.table for bucket in done] == ["trees"]
    assert damaged == [path]
