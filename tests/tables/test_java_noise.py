"""Java's output is forwarded, except lines that nobody can act on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from pipeline.tables import python_daemon
from pipeline.tables.java_noise import without_noise

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
