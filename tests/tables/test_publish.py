"""Publish against real Spark and Iceberg: once, twice, after crashes, and not at all."""

from __future__ import annotations

from io import BytesIO

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE
from pipeline.model.visit import VisitStatus
from pipeline.storage import Storage
from pipeline.storage.errors import StoredFileDamaged
from pipeline.tables import publish as publish_module
from pipeline.tables.audit import AuditFailed
from pipeline.tables.failures import told_plainly
from pipeline.tables.iceberg import IcebergTable
from pipeline.tables.landed import BadLanding
from pipeline.tables.publish import LoadChanged, publish, read_published
from tests.tables.conftest import add, lease_held, night
from tests.tables.landing import Landing

URL = "https://example.org/a"


def small(storage: Storage, spark: SparkSession, day: int = 2) -> Landing:
    (origin,) = add(spark, URL)
    landing = Landing(storage, night(day))
    tree = landing.tree(origin.network, {b"README": b"hello\n", b"src": {b"a.py": b"print(1)\n"}})
    landing.push(origin, landing.commit(origin.network, tree))
    return landing


def counts(spark: SparkSession) -> dict[str, int]:
    return {n: spark.table(n).count() for n in ("contents", "blobs", "trees", "commits", "refs", "visits")}


ALL = {"contents": 2, "blobs": 2, "trees": 2, "commits": 1, "refs": 2, "visits": 1}
NONE = dict.fromkeys(ALL, 0)


def test_publishing_twice_gives_the_same_rows(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    first = publish(spark, storage, landing.load, manifests, "run1", lease_held)
    assert counts(spark) == ALL
    assert first.tables["contents"].rows == 2
    assert read_published(storage, landing.load) == first
    origins = spark.table("origins").collect()
    assert [(o.last_status, o.state, o.failures, o.next_due) for o in origins] == [("full", "active", 0, night(3))]
    assert publish(spark, storage, landing.load, manifests, "run2", lease_held) == first
    assert counts(spark) == ALL
    assert spark.table("origins").collect() == origins


class Crash(Exception):
    pass


@pytest.mark.parametrize("survived", [0, 1, 4, 6])
def test_a_crash_before_any_commit_is_made_good_by_the_next_run(
    spark: SparkSession, storage: Storage, survived: int
) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    left = [survived]

    def lease_that_crashes() -> None:
        if left[0] == 0:
            raise Crash
        left[0] -= 1

    with pytest.raises(Crash):
        publish(spark, storage, landing.load, manifests, "run1", lease_that_crashes)
    assert storage.stat(landing.load.published) is None
    publish(spark, storage, landing.load, manifests, "run2", lease_held)
    assert counts(spark) == ALL
    assert spark.table("origins").first().last_status == "full"


def test_a_crash_while_files_are_moved(spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    with monkeypatch.context() as patch:
        move = publish_module.move

        def move_two(storage: Storage, files: list) -> None:
            move(storage, files[:2])
            raise Crash

        patch.setattr(publish_module, "move", move_two)
        with pytest.raises(Crash):
            publish(spark, storage, landing.load, manifests, "run1", lease_held)
    publish(spark, storage, landing.load, manifests, "run2", lease_held)
    assert counts(spark) == ALL


def test_rubbish_of_killed_attempts_is_not_registered(spark: SparkSession, storage: Storage) -> None:
    killed = small(storage, spark)
    killed.run_id = "killed"
    killed.write()
    landing = small(storage, spark)
    publish(spark, storage, landing.load, landing.write(), "run1", lease_held)
    assert counts(spark) == ALL


def test_a_second_night_builds_on_the_first(spark: SparkSession, storage: Storage) -> None:
    first = small(storage, spark)
    publish(spark, storage, first.load, first.write(), "run1", lease_held)
    commit = bytes(spark.table("commits").first().oid)
    (origin,) = add(spark, URL)
    second = Landing(storage, night(3), "run2")
    tree = second.tree(origin.network, {b"README": b"changed\n"})
    second.push(origin, second.commit(origin.network, tree, commit))
    publish(spark, storage, second.load, second.write(), "run2", lease_held)
    assert counts(spark) == {"contents": 3, "blobs": 3, "trees": 3, "commits": 2, "refs": 4, "visits": 2}


def test_a_night_with_visits_only(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    for day, status in enumerate((VisitStatus.UNCHANGED, *[VisitStatus.NOT_FOUND] * 5, VisitStatus.FULL), start=2):
        landing = Landing(storage, night(day), f"run{day}")
        landing.visit(origin, status, None if status.ok else "gone")
        publish(spark, storage, landing.load, landing.write(), f"run{day}", lease_held)
        row = spark.table("origins").first()
        assert row.state == ("gone" if day == 7 else "active")
        assert row.failures == (day - 2 if 2 < day < 8 else 0)
    assert counts(spark) == NONE | {"visits": 7}


def break_parent(landing: Landing, network: int) -> None:
    landing.commit(network, landing.tree(network, {}), b"\1" * 20)


def break_tree(landing: Landing, network: int) -> None:
    landing.commit(network, b"\2" * 20)


def break_tag(landing: Landing, network: int) -> None:
    landing.tag(network, b"\3" * 20)


def double_commit(landing: Landing, network: int) -> None:
    landing.rows["commits"].append(landing.rows["commits"][0])


def two_contents(landing: Landing, network: int) -> None:
    landing.rows["blobs"].append({**landing.rows["blobs"][0], "network": network + 4, "sha256": b"\0" * 32})
    landing.rows["contents"].append({**landing.rows["contents"][0], "network": network + 4})


def lost_content(landing: Landing, network: int) -> None:
    landing.rows["contents"].pop()


def content_against_its_word(landing: Landing, network: int) -> None:
    landing.rows["blobs"][0]["stored"] = "too_large"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_parent, "commits, bucket .: the parent of a commit is missing: 0101"),
        (break_tree, "commits, bucket .: the tree of a commit is missing: 0202"),
        (break_tag, "tags, bucket .: the object that a tag points at is missing: 0303"),
        (double_commit, "commits, bucket .: an object is there twice"),
        (two_contents, "blobs, bucket .: an id has two contents"),
        (lost_content, "blobs, bucket .: 'stored' does not tell"),
        (content_against_its_word, "blobs, bucket .: 'stored' does not tell"),
    ],
)
def test_a_bad_load_publishes_nothing(spark: SparkSession, storage: Storage, damage, words: str) -> None:
    landing = small(storage, spark)
    damage(landing, landing.rows["visits"][0]["network"])
    with pytest.raises(AuditFailed, match=words):
        publish(spark, storage, landing.load, landing.write(), "run1", lease_held)
    assert counts(spark) == NONE
    assert all(not tags for tags in (IcebergTable(spark, "origins").tags(),))


def test_a_tip_that_is_nowhere(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    landing = Landing(storage, night(2))
    landing.push(origin, b"\4" * 20)
    with pytest.raises(AuditFailed, match=r"refs, bucket .: the object that a ref points at is missing: 0404"):
        publish(spark, storage, landing.load, landing.write(), "run1", lease_held)


def test_contents_that_differ_from_the_archive(spark: SparkSession, storage: Storage) -> None:
    first = small(storage, spark)
    publish(spark, storage, first.load, first.write(), "run1", lease_held)
    second = small(storage, spark, day=3)
    second.rows["blobs"][0]["size"] += 1
    with pytest.raises(AuditFailed, match="two contents"):
        publish(spark, storage, second.load, second.write(), "run2", lease_held)
    assert counts(spark) == ALL


def test_a_torn_file_is_found(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    path = manifests[0].files[0].path
    storage.replace(path, storage.read(path)[:-10])
    with pytest.raises(BadLanding, match="bytes instead of"):
        publish(spark, storage, landing.load, manifests, "run1", lease_held)
    storage.delete(path)
    with pytest.raises(BadLanding, match="missing"):
        publish(spark, storage, landing.load, manifests, "run1", lease_held)


def flip_a_bit(storage: Storage, path: str, column: str) -> None:
    """In the last byte of a column's values."""
    data = bytearray(storage.read(path))
    group = pq.ParquetFile(BytesIO(data)).metadata.row_group(0)
    (chunk,) = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column]
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
    storage.replace(path, bytes(data))


@pytest.mark.parametrize(("table", "column"), [("commits", "oid"), ("blobs", "sha256"), ("refs", "target")])
def test_a_flipped_bit_in_what_the_audit_reads_publishes_nothing(
    spark: SparkSession, storage: Storage, table: str, column: str
) -> None:
    landing = small(storage, spark)
    manifests = landing.write()
    (path,) = [file.path for manifest in manifests for file in manifest.files if file.table == table]
    flip_a_bit(storage, path, column)
    with pytest.raises(StoredFileDamaged, match=path), told_plainly(storage.root_uri):
        publish(spark, storage, landing.load, manifests, "run1", lease_held)
    assert counts(spark) == NONE


def test_a_flipped_bit_in_a_table_is_an_error_and_no_other_data(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    publish(spark, storage, landing.load, landing.write(), "run1", lease_held)
    (path,) = [e.path for e in storage.walk(WAREHOUSE) if "/contents/data/" in e.path and e.path.endswith(".parquet")]
    flip_a_bit(storage, path, "content")
    with pytest.raises(StoredFileDamaged, match="CRC checksum verification failed"), told_plainly(storage.root_uri):
        spark.table("contents").collect()


def test_manifests_may_not_change_once_published(spark: SparkSession, storage: Storage) -> None:
    landing = small(storage, spark)
    publish(spark, storage, landing.load, landing.write(), "run1", lease_held)
    again = small(storage, spark)
    again.run_id = "run9"
    with pytest.raises(LoadChanged):
        publish(spark, storage, again.load, again.write(), "run9", lease_held)
    assert counts(spark) == ALL
