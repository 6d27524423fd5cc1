"""Calls at their time, by one thread."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pipeline.git.alarm import ALARM, Alarm


def test_each_is_called_once_in_its_turn() -> None:
    alarm, called, done = Alarm(), list[str](), threading.Event()
    now = time.monotonic()
    alarm.set("last", now + 0.2, done.set)
    alarm.set("never", now + 60, lambda: called.append("never"))
    alarm.set("second", now + 0.1, lambda: called.append("second"))
    alarm.set("first", now, lambda: called.append("first"))
    alarm.clear("never")
    alarm.clear("unknown")
    assert done.wait(10)
    assert called == ["first", "second"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_call_that_fails_takes_no_other_with_it() -> None:
    alarm, failed, done = Alarm(), threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        raise MemoryError

    alarm.set("it", time.monotonic(), fail)
    assert failed.wait(10)
    alarm.set("another", time.monotonic() + 0.1, done.set)
    assert done.wait(10)


def test_one_thread_serves_all_and_ends_when_none_is_left() -> None:
    alarm, before = Alarm(), threading.active_count()
    for number in range(100):
        alarm.set(number, time.monotonic() + 0.2, lambda: None)
        alarm.clear(number)
        assert threading.active_count() <= before + 1
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "alarm" and thread.daemon][-1:]
    thread.join(10)
    assert not thread.is_alive()
    done = threading.Event()
    alarm.set("again", time.monotonic(), done.set)
    assert done.wait(10)


def test_a_call_that_is_being_made_ends_before_it_is_cleared() -> None:
    alarm, begun, cleared, early = Alarm(), threading.Event(), threading.Event(), list[bool]()

    def call() -> None:
        begun.set()
        early.append(cleared.wait(0.2))

    alarm.set("it", time.monotonic(), call)
    assert begun.wait(10)
    alarm.clear("it")
    cleared.set()
    assert early == [False]


def test_a_forked_process_has_an_alarm_of_its_own() -> None:
    ALARM.set("parent", time.monotonic() + 60, lambda: None)
    try:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                done = threading.Event()
                ALARM.set("child", time.monotonic(), done.set)
                code = 0 if done.wait(10) else 1
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        ALARM.clear("parent")
