"""Interrupts that come where Python would ignore an exception."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pipeline.masters.interrupts import looked_for


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_finalizer_is_not_lost(number: signal.Signals) -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with looked_for() as interrupts:
        interrupts.check()
        del_me = [Dropped()]
        del_me.clear()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_other_threads_get_no_signals() -> None:
    seen: list[bool] = []

    def look() -> None:
        with looked_for() as interrupts:
            seen.append(interrupts.came)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [False]
