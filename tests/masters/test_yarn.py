"""What a wait for YARN does when YARN is slow, or does not answer. Nothing is started."""

from __future__ import annotations

import threading

import pytest
from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.tables.masters import application
from pipeline.tables.masters.application import follow
from pipeline.tables.masters.errors import ApplicationFailed, NoResources
from pipeline.tables.masters.interrupts import Interrupts
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.yarn import Container, Report, Yarn

APPLICATION = "application_1_0001"
LIMIT_S = 20


class Asked(Yarn):
    """A YARN that says of our application, look by look, what a test wants; the last answer is repeated."""

    def __init__(self, *answers: str | Py4JError | None) -> None:
        Master.__init__(self, "yarn", "2 executors", 0.05)
        self._tag, self._client = "ours", self
        self._answers, self._last = iter(answers), answers[-1]
        self.killed = threading.Event()

    def _tagged(self) -> list[tuple[str, str]]:
        answer = next(self._answers, self._last)
        if isinstance(answer, Py4JError):
            raise answer
        return [] if answer is None else [(APPLICATION, "KILLED" if self.killed.is_set() else answer)]

    def _id(self, application: str) -> str:
        return application

    def killApplication(self, application: str) -> None:
        assert application == APPLICATION
        self.killed.set()

    def _delete_staged(self, application: str) -> None:
        assert self.killed.is_set()

    def offer(self) -> None:  # type: ignore[override]
        raise Py4JError("standby")


@pytest.fixture(params=["a long upload", "a failover"])
def yarn(request: pytest.FixtureRequest) -> Asked:
    before = [None] * 9 if request.param == "a long upload" else [Py4JError("standby")]
    return Asked(*before, "ACCEPTED", Py4JError("standby"), "ACCEPTED")


def test_a_wait_has_a_limit_whatever_comes_before_it(yarn: Asked) -> None:
    with pytest.raises(NoResources, match=r"2 executors\. It has: it does not say"), yarn.accepting():  # noqa: PT012
        assert yarn.killed.wait(LIMIT_S)
        raise Py4JError("the application has ended")


def test_an_application_that_has_started_is_left_alone() -> None:
    yarn = Asked("ACCEPTED", "RUNNING")
    with yarn.accepting():
        for thread in threading.enumerate():
            if thread.name == "yarn-wait":
                thread.join(LIMIT_S)
                assert not thread.is_alive()
    assert not yarn.killed.is_set()


def test_what_may_still_run_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def standby(application: str) -> None:
        raise Py4JError("standby")

    yarn = Asked("ACCEPTED")
    monkeypatch.setattr(yarn, "killApplication", standby)
    yarn.kill(APPLICATION)
    assert f"may still run: yarn application -kill {APPLICATION}" in caplog.text
    yarn.kill_tagged()
    assert "yarn application -list -appTags ours" in caplog.text


class Failover:
    """An exception of YARN's client while no ResourceManager answers."""

    _target_id = "o1"
    _gateway_client = None


class Polled(Asked):
    """A YARN whose application has these states, look by look; None if it does not answer."""

    def __init__(self, *states: str | None) -> None:
        super().__init__("RUNNING")
        self.states = list(states)

    def report(self, application: str) -> Report:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise Py4JJavaError("", Failover())
        return Report(state, {"FINISHED": "SUCCEEDED", "FAILED": "FAILED"}.get(state, "UNDEFINED"), "", "")

    def driver_container(self, application: str) -> Container | None:
        return None


def test_a_failover_ends_no_application_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "POLL_S", 0)
    yarn = Polled("RUNNING", None, None, "RUNNING", None, "FINISHED")
    follow(yarn, APPLICATION, print, Interrupts())
    assert not yarn.killed.is_set()


def test_a_driver_that_died_leaves_nothing_that_was_uploaded() -> None:
    yarn = Polled("FAILED")
    with pytest.raises(ApplicationFailed):
        follow(yarn, APPLICATION, print, Interrupts())
    assert yarn.killed.is_set(), "what was uploaded is deleted after that"


def test_a_yarn_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "POLL_S", 0)
    monkeypatch.setattr(application, "SILENT_WITHIN_S", 0)
    yarn = Polled("RUNNING", None)
    with pytest.raises(Py4JJavaError):
        follow(yarn, APPLICATION, print, Interrupts())
    assert yarn.killed.is_set()
