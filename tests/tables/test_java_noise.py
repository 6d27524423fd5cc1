"""Java's output is forwarded, except lines that nobody can act on; workers log in the form of their driver."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading

import pytest
from pyspark import TaskContext

from pipeline.model.log import SPARK_PROPERTY, JsonFormatter
from pipeline.tables import python_daemon
from pipeline.tables.java_noise import _as_event, without_noise

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


def test_a_worker_whose_socket_is_closed_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sock: object, authenticated: bool) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(python_daemon, "_work", broken)
    assert python_daemon._work_quietly(None, True) == 1  # type: ignore[arg-type]


def test_a_line_of_java_becomes_an_event_and_one_of_ours_stays_one() -> None:
    event = json.loads(_as_event(b"12:00:00 ERROR Boom: \x1b[2J\xff\n"))
    assert (event["logger"], event["event"], event["message"]) == (
        "java",
        "java",
        "12:00:00 ERROR Boom: \\x1b[2J\ufffd",
    )
    ours = JsonFormatter().format(logging.makeLogRecord({"msg": "x"})).encode() + b"\n"
    assert _as_event(ours) == ours


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
