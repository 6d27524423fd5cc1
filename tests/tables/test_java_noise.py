"""Java's output is forwarded, except lines that nobody can act on; workers log in the form of their driver."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pyspark import TaskContext

from pipeline.model.log import SPARK_PROPERTY, JsonFormatter
from pipeline.tables import python_daemon
from pipeline.tables.java_noise import MOST_CHARACTERS, _as_event, without_noise

SPEAKS = """
import os, sys
os.write(2, b"WARNING: Using incubator modules: jdk.incubator.vector\\n")
os.write(2, b"something that matters\\n")
sys.stdin.readline()
os.write(2, b"last words")
"""


def test_lines_are_passed_on_but_for_noise(capfd: pytest.CaptureFixture[str]) -> None:
    others = set(threading.enumerate())
    with without_noise():
        program = subprocess.Popen([sys.executable, "-c", SPEAKS], stdin=subprocess.PIPE)
        os.write(2, b"our own words\n")
    os.write(2, b"ours again\n")
    program.communicate(b"\n")
    for thread in set(threading.enumerate()) - others:
        thread.join(10)
    said = capfd.readouterr().err
    assert "incubator" not in said
    for words in ("our own words\n", "ours again\n", "something that matters\n", "last words"):
        assert words in said


DIES = """
import os, signal, sys, threading
from pathlib import Path
from pyspark import SparkContext
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.spark import QUICK_SPARK

spark = open_session(SparkSettings(**QUICK_SPARK), Path(sys.argv[1]).as_uri(), "tests")
context = spark.sparkContext
seen = context.accumulator(0)
context.parallelize(range(4), 2).foreach(seen.add)
assert seen.value == 6
hung_up, server = threading.Event(), context._accumulatorServer
close = server.shutdown_request
server.shutdown_request = lambda request: (close(request), hung_up.set())  # which follows the error's report
os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)
assert hung_up.wait(60)
"""


@pytest.mark.spark
def test_a_jvm_that_dies_hangs_up_without_a_traceback(tmp_path: Path) -> None:
    """PySpark's thread that takes accumulators would print one, at any time and so behind our own last words."""
    ended = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path)], capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Exception" not in ended.stderr


def test_a_worker_whose_socket_is_closed_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sock: object, authenticated: bool) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(python_daemon, "_work", broken)
    assert python_daemon._work_quietly(None, True) == 1  # type: ignore[arg-type]


def test_after_its_first_task_a_worker_looks_for_garbage_in_what_came_later_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen: list[int] = []

    def work(sock: object, authenticated: bool) -> int:
        frozen.append(gc.get_freeze_count())
        return 0

    monkeypatch.setattr(python_daemon, "_work", work)
    try:
        assert [python_daemon._work_quietly(None, True) for _ in range(2)] == [0, 0]  # type: ignore[arg-type]
    finally:
        gc.unfreeze()
    assert frozen[0] == 0
    assert frozen[1] > 1000


def test_a_line_of_java_becomes_an_event_and_one_of_ours_stays_one() -> None:
    event = json.loads(_as_event(b"12:00:00 ERROR Boom: \x1b[2J\xff\n"))
    assert (event["logger"], event["event"], event["message"]) == (
        "java",
        "java",
        "12:00:00 ERROR Boom: \\x1b[2J\ufffd",
    )
    ours = JsonFormatter().format(logging.makeLogRecord({"name": "x", "msg": "x", "bucket": 1})).encode() + b"\n"
    assert _as_event(ours) == ours


EVENT = {"time": "t", "level": "ERROR", "logger": "x", "event": "x", "message": "token=abcdefgh12 \x1b[2J"}


def test_an_event_that_anybody_wrote_is_made_safe() -> None:
    event = json.loads(_as_event(json.dumps(EVENT | {"bucket": 3, "origin": "https://u:pw@h/"}).encode()))
    assert (event["logger"], event["message"], event["bucket"]) == ("x", "token=... \\x1b[2J", 3)
    assert "pw" not in event["origin"]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(EVENT | {"admin": "yes"}),
        json.dumps(EVENT | {"message": ["a"]}),
        json.dumps(EVENT | {"bucket": "3"}),
        '{"time": "t"}',
        '{"time": ' + "[" * 100_000,
        '{"time": 1}{"time": 2}',
    ],
)
def test_what_only_begins_like_an_event_is_javas(line: str) -> None:
    assert json.loads(_as_event(line.encode()))["logger"] == "java"


def test_long_lines_are_cut_between_words() -> None:
    words = "word " * MOST_CHARACTERS
    for line in (words, json.dumps(EVENT | {"message": words})):
        message = json.loads(_as_event(line.encode()))["message"]
        assert MOST_CHARACTERS - 6 < len(message) < MOST_CHARACTERS
        assert message.endswith("word")


class Task:
    """A task whose driver logs events, or text."""

    def __init__(self, said: str | None) -> None:
        self._properties = {SPARK_PROPERTY: said}

    def getLocalProperty(self, key: str) -> str | None:
        return self._properties.get(key)


@pytest.mark.parametrize("task", [None, Task(None), Task('{"run": "r1", "night": "2026-11-01"}')])
def test_a_worker_logs_as_its_driver_does(task: Task | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskContext, "get", lambda: task)
    record = logging.makeLogRecord({"msg": "%s: no tree", "args": ("git://h/a",), "origin": "git://h/a"})
    line = python_daemon._TaskFormatter().format(record)
    if task is None or task.getLocalProperty(SPARK_PROPERTY) is None:
        assert line.endswith("git://h/a: no tree")
        return
    event = json.loads(line)
    assert (event["run"], event["night"], event["origin"]) == ("r1", "2026-11-01", "git://h/a")
