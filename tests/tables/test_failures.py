"""Exceptions of the JVM, as people read them and as callers use them."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway  # type: ignore[import-untyped]
from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]  # py4j has no types
from pyspark import SparkContext
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from pipeline.model.errors import ExitCode, UsageError
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged
from pipeline.tables.failures import ExecutorsLost, OutOfMemory, SparkFailed, named_file, plain_failures
from pipeline.tables.java_noise import NOISE
from pipeline.tables.masters import jvm
from pipeline.tables.masters.errors import DriverDied
from pipeline.tables.settings import SparkSettings
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


def test_java_that_ended_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkContext, "_gateway", None)  # whether this process's own has ended is waited for
    with (
        pytest.raises(SparkFailed, match="Answer from Java side is empty; if its Java process ended"),
        plain_failures(ROOT),
    ):
        raise Py4JNetworkError("Answer from Java side is empty")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("exit 3", "the driver ran out of memory: its heap of 7g was full. Raise spark.driver_memory, or let fewer"),
        (
            "kill -9 $$",
            "the driver's Java process was killed, as by a machine that has no memory left for its heap of",
        ),
        ("exit 1", "the driver's Java process ended by itself, with status 1; its last output is above"),
    ],
)
@pytest.mark.parametrize("error", [Py4JNetworkError("Answer from Java side is empty"), EOFError()], ids=repr)
def test_how_java_ended_is_told(command: str, says: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "_HEAP", ["7g"])
    with subprocess.Popen(["sh", "-c", command]) as process:
        monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=process))
        with pytest.raises(DriverDied, match=re.escape(says)) as caught, plain_failures(ROOT):
            raise error
    assert caught.value.exit_code is ExitCode.RUN_FAILED
    told = caught.value.at("jobs/a.py, line 3, in main")
    assert str(pickle.loads(pickle.dumps(told))) == f"{caught.value}. It was at jobs/a.py, line 3, in main"


def test_a_forked_child_does_not_judge_its_parents_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells a child nothing about it, whereupon ``subprocess`` says that it ended well."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=process))
        child = os.fork()
        if child == 0:
            try:
                with plain_failures(ROOT):
                    raise KeyError("mine")
            except BaseException as error:
                os._exit(0 if isinstance(error, KeyError) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_full_heap_ends_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java's own, as ``submit`` starts it, with nothing but py4j in it."""
    (jar,) = (Path(pyspark.__file__).parent / "jars").glob("py4j-*.jar")
    options = SparkSettings().failing_fast().java_options.split()
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        port, process = launch_gateway(
            jarpath=str(jar), javaopts=["-Xmx32m", *options], return_proc=True, redirect_stdout=out, redirect_stderr=err
        )
    monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=process))
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    with pytest.raises(DriverDied, match="the driver ran out of memory: its heap of "), plain_failures(ROOT):
        gateway.new_array(gateway.jvm.long, 10_000_000)
    process.stdin.close()
    assert (tmp_path / "stdout").read_text() == ""
    (said,) = (tmp_path / "stderr").read_bytes().splitlines()
    assert said.startswith(NOISE)


def test_a_driver_that_goes_on_without_memory_says_whose_it_lacks(session: SparkSession) -> None:
    full = RuntimeError()
    full.java_exception = session._jvm.java.lang.OutOfMemoryError("Java heap space")  # type: ignore[attr-defined]
    for error, setting in ((full, "spark.driver_memory"), (MemoryError(), "spark.driver.memoryOverhead")):
        with (
            pytest.raises(OutOfMemory, match=f"^the driver ran out of memory.*{setting}") as caught,
            plain_failures(ROOT),
        ):
            raise error
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_executors_that_a_task_ends_are_told_with_their_settings(session: SparkSession) -> None:
    lost = RuntimeError()
    lost.java_exception = session._jvm.java.lang.IllegalStateException(  # type: ignore[attr-defined]
        "Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times, most recent failure: Lost task 0.3 in "
        "stage 3.0 (TID 7) (10.0.0.1 executor 3): ExecutorLostFailure (executor 3 exited caused by one of the running "
        "tasks) Reason: Command exited with code 52\nDriver stacktrace:"
    )
    with (
        pytest.raises(ExecutorsLost, match=r"the last: Command exited with code 52\. ") as caught,
        plain_failures(ROOT),
    ):
        raise lost
    assert "spark.executor.memory for Java, or spark.executor.memoryOverhead for Python" in str(caught.value)
    assert caught.value.exit_code is ExitCode.RUN_FAILED
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("error", [UsageError("ours"), ValueError("not the JVM's")], ids=repr)
def test_what_the_jvm_did_not_raise_goes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, plain_failures(ROOT):
        raise error
    assert caught.value is error
