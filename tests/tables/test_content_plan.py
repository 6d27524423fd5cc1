"""Content stays where it is read: no exchange above it, and a scan of HEAD opens nothing of the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.model import tables
from pipeline.read.archive import Archive
from pipeline.rules.partitioning import TableStats
from pipeline.tables import content_plan
from pipeline.tables.content_plan import content_stays, exchanges_of_content
from pipeline.tables.iceberg import OPEN_COST_PROPERTY, RATIO_PROPERTY, SPLIT_PROPERTY, NewFile, full_name
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.session import BY_BUCKET, PARTS_OF_BUCKETS, configured
from pipeline.tables.writer import unleased
from tests.tables.landed import HEAD_ROWS, ROWS
from tests.tables.landing import BUCKETS

KEY = ["bucket", "network", "oid"]
OTHERS = ("blobs", "head_blobs", "files", "trees", "commits", "tags")

Read = Callable[[Archive], DataFrame]


def with_two(archive: Archive) -> DataFrame:
    blobs = archive.table("blobs").select(*KEY, "sha256")
    return archive.table("contents").join(blobs, KEY).join(archive.table("head_blobs").select(*KEY, "language"), KEY)


def with_a_list(archive: Archive) -> DataFrame:
    few = archive.spark.createDataFrame([(1, b"x")], "bucket int, oid binary")
    return archive.table("contents").join(few, ["bucket", "oid"])


def with_something_larger(archive: Archive) -> DataFrame:
    """Spark would broadcast contents, the smaller side by its estimate."""
    ids = archive.spark.range(10**8).select((F.col("id") % 4).cast("int").alias("bucket"), F.col("id").alias("size"))
    return archive.table("contents").join(ids, ["bucket", "size"])


def in_sql(archive: Archive) -> DataFrame:
    archive.register_views()
    return archive.spark.sql(
        "SELECT f.path, c.content FROM files f JOIN contents c ON f.bucket = c.bucket AND f.oid = c.oid WHERE c.at_head"
    )


def joined(archive: Archive, how: str, other: str) -> DataFrame:
    return archive.table("contents").join(archive.table(other).select(*KEY), KEY, how)


def by_extension(archive: Archive) -> DataFrame:
    return archive.table("contents").groupBy("ext").agg(F.sum(F.length("content")))


def distinct(archive: Archive) -> DataFrame:
    return archive.table("contents").dropDuplicates(KEY)


READS: Mapping[str, Read] = {
    "alone": lambda archive: archive.table("contents"),
    "head": lambda archive: archive.table("contents").where("at_head"),
    "limited": lambda archive: archive.table("contents").limit(5),
    "by extension": by_extension,
    "distinct": distinct,
    "with two": with_two,
    "with a list": with_a_list,
    "with something larger": with_something_larger,
    "in SQL": in_sql,
} | {
    f"{how} {other}": partial(joined, how=how, other=other)
    for how in ("inner", "left", "left_semi", "left_anti")
    for other in OTHERS
    if "oid" in tables.BY_NAME[other].column_names
}


@pytest.mark.slow
@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("broadcast", ["10485760", "-1"])
def test_no_exchange_is_above_content(landed: Archive, read: Read, broadcast: str) -> None:
    with configured(landed.spark, {"spark.sql.autoBroadcastJoinThreshold": broadcast}):
        df = read(landed)
        with content_stays(df):
            assert exchanges_of_content(df) == []


def test_what_would_be_an_exchange_is_found(landed: Archive, caplog: pytest.LogCaptureFixture) -> None:
    contents = landed.table("contents")
    assert exchanges_of_content(contents.repartition(3, "oid"))
    assert exchanges_of_content(contents.select(F.col("content").alias("c")).repartition(3))
    assert exchanges_of_content(contents.dropDuplicates(["oid"]))
    assert exchanges_of_content(landed.table("blobs").join(F.broadcast(contents), KEY))
    assert not exchanges_of_content(contents.groupBy("oid").agg(F.max("size")))
    with configured(landed.spark, {BY_BUCKET: "false", "spark.sql.autoBroadcastJoinThreshold": "-1"}):
        assert exchanges_of_content(READS["inner blobs"](landed))
    with configured(landed.spark, {PARTS_OF_BUCKETS: "true", "spark.sql.autoBroadcastJoinThreshold": "-1"}):
        assert exchanges_of_content(with_two(landed))
        assert exchanges_of_content(with_a_list(landed))
    assert exchanges_of_content(with_something_larger(landed))
    with content_stays(contents.dropDuplicates(["oid"])):
        assert "F.broadcast" in caplog.text


def test_what_is_nearly_as_large_as_contents_is_not_broadcast(landed: Archive) -> None:
    """Planned again, Spark might broadcast contents instead: its estimates vary a little."""
    ids = landed.spark.range(150_000).select((F.col("id") % 4).cast("int").alias("bucket"), F.col("id").alias("size"))
    df = landed.table("contents").join(ids, ["bucket", "size"])
    assert "BroadcastExchange" in plan_of(df)
    with content_stays(df):
        assert "BroadcastExchange" not in plan_of(df)
        assert exchanges_of_content(df) == []


def plan_of(df: DataFrame) -> str:
    return str(df.select("*")._jdf.queryExecution().executedPlan().toString())


def test_settings_are_as_they_were(landed: Archive) -> None:
    before = landed.spark.conf.get(BY_BUCKET)
    with content_stays(landed.table("contents")):
        assert landed.spark.conf.get(BY_BUCKET) == "false"
    assert landed.spark.conf.get(BY_BUCKET) == before == "true"


def test_a_scan_is_cut_by_raw_bytes_and_a_join_of_few_by_bucket(landed: Archive) -> None:
    contents = (
        landed.spark.read.option("split-size", "65536").option("file-open-cost", "512").table(full_name("contents"))
    )
    with content_stays(contents):
        assert contents.select("*").rdd.getNumPartitions() > BUCKETS
    joined = landed.table("contents").join(landed.table("blobs").select(*KEY), KEY)
    with configured(landed.spark, {"spark.sql.autoBroadcastJoinThreshold": "-1"}), content_stays(joined):
        assert joined.select("*").rdd.getNumPartitions() == BUCKETS


PIECE_BYTES = 20_000
"""A bucket of contents has several times as many."""

OVER_A_JOIN: Mapping[str, Callable[[DataFrame], DataFrame]] = {
    "rows": lambda joined: joined.select("oid", "size", "sha256"),
    "counted by bucket": lambda joined: joined.groupBy("bucket").agg(F.count("*"), F.sum("size")),
    "distinct": lambda joined: joined.select("bucket", "network").distinct(),
    "the first of each": lambda joined: joined.selectExpr(
        "oid", "row_number() OVER (PARTITION BY bucket, network ORDER BY oid) AS number"
    ).where("number < 3"),
}


@pytest.mark.parametrize("over", OVER_A_JOIN.values(), ids=OVER_A_JOIN)
@pytest.mark.parametrize("how", ["inner", "left"])
def test_a_join_cuts_buckets_of_contents(
    landed: Archive, how: str, over: Callable[[DataFrame], DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task reads a part of a bucket and the other table's whole bucket; nothing is found twice."""
    blobs = landed.table("blobs").select(*KEY, "sha256")
    with configured(landed.spark, {"spark.sql.autoBroadcastJoinThreshold": "-1"}):
        joined = landed.table("contents").join(blobs, KEY, how)
        whole = sorted(over(joined).collect())
        monkeypatch.setattr(content_plan, "join_split", lambda *_: PIECE_BYTES)
        with content_stays(joined):
            assert joined.select("*").rdd.getNumPartitions() > 4 * BUCKETS
            assert exchanges_of_content(joined) == []
            assert sorted(over(landed.table("contents").join(blobs, KEY, how)).collect()) == whole


def test_contents_are_never_the_side_that_is_read_several_times(
    landed: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_plan, "join_split", lambda *_: PIECE_BYTES)
    with configured(landed.spark, {"spark.sql.autoBroadcastJoinThreshold": "-1"}):
        joined = landed.table("blobs").join(landed.table("contents").select(*KEY, "content"), KEY, "left")
        parts = {PARTS_OF_BUCKETS: "true", "spark.sql.iceberg.read.split-size": str(PIECE_BYTES)}
        with configured(landed.spark, parts):
            assert exchanges_of_content(joined) == ["BatchScan archive.code.contents"]
        with content_stays(joined):
            assert exchanges_of_content(joined) == []


def scanned_rows(df: DataFrame) -> int:
    """Run the frame; the rows of its table scans, which are all rows of the opened row groups."""
    df.collect()
    plan = df._jdf.queryExecution().executedPlan()
    if plan.nodeName() == "AdaptiveSparkPlan":
        plan = plan.executedPlan()
    leaves = plan.collectLeaves()
    scans = [leaves.apply(at) for at in range(leaves.size())]
    return sum(scan.metrics().apply("numOutputRows").value() for scan in scans if "BatchScan" in scan.nodeName())


@pytest.mark.parametrize("table", ["contents", "trees"])
def test_a_scan_of_head_opens_no_row_group_of_the_history(landed: Archive, table: str) -> None:
    columns = ("oid", F.length("content"))
    assert scanned_rows(landed.table(table).select(*columns)) == 2 * BUCKETS * ROWS
    assert scanned_rows(landed.table(table).where("at_head").select(*columns)) == 2 * BUCKETS * HEAD_ROWS


def test_a_layout_that_mixes_them_is_found(landed: Archive, tmp_path: Path) -> None:
    """Row groups that hold both halves: the whole file is read for its HEAD."""
    rows = landed.table("contents").where("bucket = 0").toArrow().cast(tables.CONTENTS.arrow_schema)
    mixed = rows.take(sorted(range(len(rows)), key=lambda at: at * 7919 % len(rows)))
    pq.write_table(mixed, tmp_path / "mixed.parquet")
    before, table = head_rows(landed), unleased(landed.spark).table("contents")
    snapshot = table.current().id
    properties = {key: table.property(key) or "" for key in (RATIO_PROPERTY, SPLIT_PROPERTY, OPEN_COST_PROPERTY)}
    table.append_files([NewFile((tmp_path / "mixed.parquet").as_uri(), 0)], {})
    try:
        assert head_rows(landed) == before + 2 * ROWS
    finally:
        landed.spark.sql(f"CALL system.rollback_to_snapshot('code.contents', {snapshot})")
        unleased(landed.spark).table("contents").set_properties(properties)
    assert head_rows(landed) == before


def head_rows(archive: Archive) -> int:
    return scanned_rows(archive.table("contents").where("at_head").select("oid"))


def test_a_table_knows_its_ratio_and_row_groups(landed: Archive) -> None:
    (stats,) = landed.stats(["contents"])
    books = landed.spark.table(f"{full_name('contents')}.files")
    raw = landed.table("contents").agg(F.sum("size")).collect()[0][0]
    stored = books.agg(F.sum("file_size_in_bytes")).collect()[0][0]
    assert stats == TableStats("contents", 2 * BUCKETS, 2 * BUCKETS * ROWS, stored, stats.raw_bytes, BUCKETS)
    assert stats.raw_bytes == pytest.approx(raw, rel=0.05)
    table = MaintainedTable(landed.spark, "contents")
    assert float(table.property(RATIO_PROPERTY) or 0) == pytest.approx(raw / stored, rel=0.05)
    assert int(table.property(SPLIT_PROPERTY) or 0) == pytest.approx((384 << 20) * stored / raw, rel=0.05)
    for file in table.scan_bucket(table.current().id, 0).data:
        groups = pq.ParquetFile(file.location().removeprefix("file://")).num_row_groups
        assert len(file.splitOffsets()) == groups >= 2
    assert landed.stats(["files"])[0].raw_bytes == 0
