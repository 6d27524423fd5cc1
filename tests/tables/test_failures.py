"""Exceptions of the JVM, as people read them and as callers use them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]  # py4j has no types
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from pipeline.model.errors import ExitCode, UsageError
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged
from pipeline.tables.failures import SparkFailed, named_file, plain_failures
from tests.support.nobody import nobody
from tests.support.sockets import listening

ROOT = "hdfs://namenode:8020/archive"


def test_hdfs_that_is_away_may_be_asked_again(session: SparkSession) -> None:
    """Nobody listens, or the server ends in the middle of a call."""
    quick = {"ipc.client.connect.max.retries": "0", "fs.hdfs.impl.disable.cache": "true"}
    reader = session.read.options(**quick)
    with nobody() as refuses, listening(lambda line: None) as hangs_up:
        for peer, words in ((refuses, "Connection refused"), (hangs_up, "(EOFException|Connection reset|Broken pipe)")):
            with pytest.raises(StorageUnavailable) as caught, plain_failures(ROOT):
                reader.parquet(f"hdfs://127.0.0.1:{peer.port}/x")
            assert re.match(f"{ROOT}: HDFS failed Spark: {words}.*\\. Try again later", str(caught.value))
            assert caught.value.retryable


def test_anything_else_is_one_line(session: SparkSession) -> None:
    with pytest.raises(SparkFailed) as caught, plain_failures(ROOT):
        session.sql("SELECT raise_error('a reason')").collect()
    assert "a reason" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable
    assert caught.value.exit_code is ExitCode.RUN_FAILED
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_stopped_context_is_told_in_other_words(session: SparkSession) -> None:
    error = RuntimeError()
    words = "Cannot call methods on a stopped SparkContext.\nThis stopped SparkContext was created at: ..."
    error.java_exception = session._jvm.java.lang.IllegalStateException(words)  # type: ignore[attr-defined]
    with pytest.raises(SparkFailed, match="the cluster ended the application") as caught, plain_failures(ROOT):
        raise error
    assert "stopped SparkContext" not in str(caught.value)


def test_a_missing_file_is_damage_where_it_belongs_to_the_archive(session: SparkSession, tmp_path: Path) -> None:
    session.range(3).coalesce(1).write.parquet(f"{tmp_path}/rows")
    rows = session.read.parquet(f"{tmp_path}/rows")
    (part,) = tmp_path.glob("rows/*.parquet")
    part.unlink()
    with pytest.raises(StoredFileDamaged, match=part.name), plain_failures(tmp_path.as_uri()):
        rows.collect()
    with pytest.raises(SparkFailed), plain_failures((tmp_path / "elsewhere").as_uri()):
        rows.collect()


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
    with pytest.raises(StoredFileDamaged) as caught, plain_failures(ROOT):
        raise PythonException(
            f"Traceback:\n  x\npipeline.storage.errors.StoredFileDamaged: {StoredFileDamaged(path, 'why. x')}"
        )
    assert (caught.value.path, caught.value.problem) == (path, "why. x")


def test_java_that_ended_is_one_line() -> None:
    with (
        pytest.raises(SparkFailed, match="Answer from Java side is empty; if its Java process ended"),
        plain_failures(ROOT),
    ):
        raise Py4JNetworkError("Answer from Java side is empty")


@pytest.mark.parametrize("error", [UsageError("ours"), ValueError("not the JVM's")], ids=repr)
def test_what_the_jvm_did_not_raise_goes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, plain_failures(ROOT):
        raise error
    assert caught.value is error
