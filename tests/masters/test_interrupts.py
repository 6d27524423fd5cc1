"""Interrupts that come where Python would ignore an exception."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pipeline.tables.masters import interrupts
from pipeline.tables.masters.interrupts import looked_for, outranking_errors


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later tests run in this process too, which they must not find interrupted."""
    monkeypatch.setattr(interrupts, "_process", interrupts._Process())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_finalizer_is_not_lost(number: signal.Signals) -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), looked_for() as noted:  # noqa: PT012 - the last raises at its end
        noted.check()
        del_me = [Dropped()]
        del_me.clear()
        with pytest.raises(KeyboardInterrupt):
            noted.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_after_the_last_look_is_raised_at_the_end(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), looked_for():
        os.kill(os.getpid(), number)


def test_an_error_of_the_block_is_not_replaced() -> None:
    with pytest.raises(ZeroDivisionError), looked_for():  # noqa: PT012 - the first only notes
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError


def test_other_threads_get_no_signals() -> None:
    seen: list[bool] = []

    def look() -> None:
        with looked_for() as noted:
            seen.append(noted.came)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [False]


def test_an_interrupt_from_before_replaces_no_error() -> None:
    with pytest.raises(KeyboardInterrupt), looked_for():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(ZeroDivisionError), outranking_errors():
        raise ZeroDivisionError


FINALIZER = """
import os, signal, threading
from pipeline.tables.masters.interrupts import Interrupted, outranking_errors, raise_interrupts

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

raise_interrupts()
try:
    with outranking_errors():
        try:
            Dropped()
            threading.Event().wait(60)
        finally:
            raise ValueError("cleaning up failed")
except Interrupted as interrupt:
    raise SystemExit(interrupt.exit_code)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupt_of_a_process_is_neither_lost_nor_replaced(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FINALIZER.format(name=name)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (code, "")
