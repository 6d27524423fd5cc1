"""What the JVM raises, as a person reads it and as a caller decides by it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from pipeline.errors import ExitCode, UsageError
from pipeline.model.layout import WAREHOUSE
from pipeline.storage import StorageUnavailable
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.tables import session as session_module
from pipeline.tables.create import create_tables
from pipeline.tables.failures import SparkFailed, named_file, told_plainly
from pipeline.tables.head_files import mark_at_head
from pipeline.tables.publish import publish
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.nobody import nobody
from tests.support.sockets import listening
from tests.support.spark import QUICK_SPARK
from tests.tables.conftest import add, lease_held, night
from tests.tables.landing import BUCKETS, Landing

ROOT = "hdfs://namenode:8020/archive"


def test_hdfs_that_is_away_may_be_asked_again(session: SparkSession) -> None:
    """Nobody listens, or whoever did ends in the middle of a call."""
    quick = {"ipc.client.connect.max.retries": "0", "fs.hdfs.impl.disable.cache": "true"}
    reader = session.read.options(**quick)
    with nobody() as refuses, listening(lambda line: None) as hangs_up:
        for peer, words in ((refuses, "Connection refused"), (hangs_up, "(EOFException|Connection reset|Broken pipe)")):
            with pytest.raises(StorageUnavailable) as caught, told_plainly(ROOT):
                reader.parquet(f"hdfs://127.0.0.1:{peer.port}/x")
            assert re.match(f"{ROOT}: HDFS failed Spark: {words}.*\\. Try again later", str(caught.value))
            assert caught.value.retryable


def test_anything_else_is_one_line(session: SparkSession) -> None:
    with pytest.raises(SparkFailed) as caught, told_plainly(ROOT):
        session.sql("SELECT raise_error('a reason')").collect()
    assert "a reason" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable
    assert caught.value.exit_code is ExitCode.RUN_FAILED
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_missing_file_is_damage_where_it_belongs_to_the_archive(session: SparkSession, tmp_path: Path) -> None:
    session.range(3).coalesce(1).write.parquet(f"{tmp_path}/rows")
    rows = session.read.parquet(f"{tmp_path}/rows")
    (part,) = tmp_path.glob("rows/*.parquet")
    part.unlink()
    with pytest.raises(StoredFileDamaged, match=part.name), told_plainly(tmp_path.as_uri()):
        rows.collect()
    with pytest.raises(SparkFailed), told_plainly((tmp_path / "elsewhere").as_uri()):
        rows.collect()


ODD = "my archive (old), 100%"


@pytest.fixture(scope="module")
def odd(session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    """An archive in a folder with everything in its name, that has rows, deletes and no checksums of Hadoop's."""
    storage = LocalStorage(tmp_path_factory.mktemp("archives") / ODD)
    spark = fresh(storage)
    create_tables(spark, BUCKETS)
    landing = Landing(storage, night(2))
    (origin,) = add(spark, "https://example.org/odd")
    landing.push(origin, landing.commit(origin.network, landing.tree(origin.network, {b"f": b"x\n"}, at_head=False)))
    publish(spark, storage, landing.load, landing.write(), "run1", lease_held)
    mark_at_head(spark, "trees", spark.table("trees"), range(BUCKETS), lease_held)
    for entry in storage.walk():
        if entry.path.endswith(".crc"):
            storage.delete(entry.path)
    return storage


def fresh(storage: LocalStorage) -> SparkSession:
    """A session that remembers nothing of the archive."""
    settings = SparkSettings(**QUICK_SPARK)
    again = open_session(settings, storage.root_uri, "tests").newSession()
    again.conf.set(session_module._WAREHOUSE, f"{storage.root_uri}/{WAREHOUSE}")
    return again


FILES = {
    "data": r"/data/.*\.parquet",
    "deletes": r"/data/.*\.puffin",
    "manifest": r"/metadata/[^/]*-m0\.avro",
    "manifest list": r"/metadata/snap-.*\.avro",
    "metadata": r"/metadata/v.*\.json",
    "version": r"/metadata/version-hint\.text",
}


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bytes_of_any_file_are_damage_or_nothing(odd: LocalStorage, kind: str) -> None:
    rows = sorted(fresh(odd).table("trees").collect(), key=str)
    found = sorted(
        entry.path for entry in odd.walk(f"{WAREHOUSE}/code/trees") if re.search(FILES[kind] + "$", entry.path)
    )
    path = max(found, key=lambda name: (odd.stat(name).modified_at, len(name), name))
    whole = odd.read(path)
    told = []
    try:
        for at in sorted({0, 5, *(len(whole) * n // 7 for n in range(1, 7)), len(whole) - 7, len(whole) - 1}):
            if 0 <= at < len(whole):
                odd.replace(path, whole[:at] + bytes([whole[at] ^ 0x14]) + whole[at + 1 :])
                try:
                    with told_plainly(odd.root_uri):
                        assert sorted(fresh(odd).table("trees").collect(), key=str) == rows
                except StoredFileDamaged as error:
                    told.append(odd.path_of(error.path) if error.path else None)
    finally:
        odd.replace(path, whole)
    assert told
    assert set(told) <= {path, None}


@pytest.mark.parametrize(
    ("where", "text", "path"),
    [
        ("file:///a b/c%20d, (é)", "reading file:/a b/c%20d, (é)/tables/x/1.parquet: no", "tables/x/1.parquet"),
        ("file:///a b/c%20d, (é)", "reading file:///a%20b/c%2520d,%20(é)/tables/x/1.avro", "tables/x/1.avro"),
        ("file:///a b/c%20d, (é)", "reading '/a b/c%20d, (é)/tables/x/1.puffin'", "tables/x/1.puffin"),
        ("file:///a", "reading file:/b/a/tables/1.parquet", ""),
        ("file:///a", "no file /a/tables/v1.metadata.json, nor /a/tables/1.parquet", "tables/v1.metadata.json"),
        (
            "hdfs://n:8020/a b",
            "blk_1 of hdfs://n:8020/a b/tables/bucket=3/1.parquet is bad",
            "tables/bucket=3/1.parquet",
        ),
        ("hdfs://n:8020/a b", "BP-1 /a%20b/tables/version-hint.text", "tables/version-hint.text"),
        ("hdfs://n:8020/a", "hdfs://n:8020/b/a/tables/1.parquet", ""),
    ],
)
def test_files_are_told_by_the_root_of_the_archive(where: str, text: str, path: str) -> None:
    assert named_file(text, where) == (f"{where}/{path}" if path else "")


@pytest.mark.parametrize("path", ["file:///a b/tables/1.parquet", "hdfs://n/a, b/c cannot d/2.parquet"])
def test_a_worker_names_files_with_blanks(path: str) -> None:
    with pytest.raises(StoredFileDamaged) as caught, told_plainly(ROOT):
        raise PythonException(
            f"Traceback:\n  x\npipeline.storage.errors.StoredFileDamaged: {StoredFileDamaged(path, 'why. x')}"
        )
    assert (caught.value.path, caught.value.problem) == (path, "why. x")


def test_java_that_ended_is_one_line() -> None:
    with (
        pytest.raises(SparkFailed, match="Answer from Java side is empty; if its Java process ended"),
        told_plainly(ROOT),
    ):
        raise Py4JNetworkError("Answer from Java side is empty")


@pytest.mark.parametrize("error", [UsageError("ours"), ValueError("not the JVM's")], ids=repr)
def test_what_the_jvm_did_not_raise_goes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, told_plainly(ROOT):
        raise error
    assert caught.value is error
