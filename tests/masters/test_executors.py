"""What is done when an application has lost all its executors. Nothing is started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.tables.failures import plain_failures
from pipeline.tables.masters import executors
from pipeline.tables.masters.errors import NoResources
from pipeline.tables.masters.executors import _watch, why_ended
from pipeline.tables.masters.master import Master


class Scala:
    """A context with so many executors, look by look, or what a look raises. It stops after the last."""

    def __init__(self, *executors: int | Exception) -> None:
        self.executors = list(executors)
        self.stopped = False

    def isStopped(self) -> bool:
        return self.stopped or not self.executors

    def stop(self) -> None:
        self.stopped = True

    def statusTracker(self) -> Scala:
        return self

    def getExecutorInfos(self) -> list[str]:
        now = self.executors.pop(0)
        if isinstance(now, Exception):
            raise now
        return ["driver"] * (1 + now)


CUT = Py4JNetworkError("Answer from Java side is empty")
REFUSED = ConnectionRefusedError(111, "Connection refused")


def context(*, runs: bool = True) -> Any:
    """One of PySpark's, or one that was stopped."""
    return SimpleNamespace(_jsc=object() if runs else None)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "WATCH_EACH_S", 0)
    monkeypatch.setattr(executors, "_GAVE_UP", [])


def test_spark_without_executors_is_ended_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    scala = Scala(2, CUT, REFUSED, *[0] * 1_000_000)
    _watch(context(), scala, Master("spark://m:7077", "2 executors", 0.5))
    assert scala.stopped
    assert "waiting for resources of spark://m:7077. Asked for: 2 executors." in caplog.text
    with pytest.raises(NoResources, match="gave no resources within") as caught, plain_failures("hdfs://n/a"):
        raise RuntimeError("Job 7 cancelled because SparkContext was shut down")
    assert caught.value is why_ended()


def test_one_more_executor_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    scala = Scala(*[0, CUT, REFUSED, 1] * 1000)
    _watch(context(), scala, Master("spark://m:7077", "2 executors", 0.5))
    assert not scala.stopped
    assert why_ended() is None
    assert caplog.text == ""


def test_a_stopped_session_is_not_watched(caplog: pytest.LogCaptureFixture) -> None:
    scala = Scala(*[REFUSED] * 10)
    _watch(context(runs=False), scala, Master("spark://m:7077", "2 executors", 0.5))
    assert len(scala.executors) == 10
    assert caplog.text == ""
