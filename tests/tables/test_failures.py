"""What the JVM raises, as a person reads it and as a caller decides by it."""

from __future__ import annotations

import pickle

import pytest
from pyspark.sql import SparkSession

from pipeline.errors import ExitCode, UsageError
from pipeline.storage import StorageUnavailable
from pipeline.tables.failures import SparkFailed, told_plainly
from tests.support.nobody import nobody

ROOT = "hdfs://namenode:8020/archive"


def test_hdfs_that_is_away_may_be_asked_again(session: SparkSession) -> None:
    with nobody() as refuses:
        quick = {"ipc.client.connect.max.retries": "0", "fs.hdfs.impl.disable.cache": "true"}
        reader = session.read.options(**quick)
        with pytest.raises(StorageUnavailable) as caught, told_plainly(ROOT):
            reader.parquet(f"hdfs://127.0.0.1:{refuses.port}/x")
    assert str(caught.value).startswith(f"{ROOT}: HDFS failed Spark: Connection refused. Try again later")
    assert caught.value.retryable


def test_anything_else_is_one_line(session: SparkSession) -> None:
    with pytest.raises(SparkFailed) as caught, told_plainly(ROOT):
        session.sql("SELECT raise_error('a reason')").collect()
    assert "a reason" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable
    assert caught.value.exit_code is ExitCode.RUN_FAILED
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("error", [UsageError("ours"), ValueError("not the JVM's")], ids=repr)
def test_what_the_jvm_did_not_raise_goes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, told_plainly(ROOT):
        raise error
    assert caught.value is error
