"""What becomes of a driver in a pod, as its submitter sees it. Nothing is started."""

from __future__ import annotations

import json
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.model.errors import ExitCode
from pipeline.read.submit.in_pod import SecretShown, refuse_secrets
from pipeline.tables.masters import application, driver_pod
from pipeline.tables.masters.driver_pod import POD_NAME, STAGING, DriverPod, failure, follow, pod_settings
from pipeline.tables.masters.errors import ApplicationFailed, NoResources
from pipeline.tables.masters.interrupts import Interrupted, Interrupts
from pipeline.tables.masters.kubernetes import Api
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.pods import Pod

NAME = "git-lakehouse-census-0123456789"
PATH = f"/api/v1/namespaces/archive/pods/{NAME}"


class Silent:
    """An exception of a client whose server does not answer."""

    _target_id = "o1"
    _gateway_client = None


class Cluster(Api):
    """An API server: the driver's phases, look by look, None for no answer; and its log, read by read."""

    def __init__(self, *phases: str | None, code: int = 0, reason: str = "", logs: tuple[str, ...] = ("",)) -> None:
        self.namespace = "archive"
        self.phases, self.logs = list(phases), list(logs)
        self.code, self.reason = code, reason
        self.since: list[str] = []
        self.deleted: list[str] = []

    def text(self, path: str, **query: str) -> str:
        if path == f"{PATH}/log":
            self.since.append(query.get("sinceTime", ""))
            return self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
        assert path == PATH
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        if phase is None:
            raise Py4JJavaError("", Silent())
        if phase == "Deleted":
            return ""
        return json.dumps({"kind": "Pod", "metadata": {"name": NAME}, "status": self.status(phase)})

    def status(self, phase: str) -> dict[str, Any]:
        if phase == "Pending":
            condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
            return {"phase": phase, "conditions": [condition]}
        if phase == "Running":
            return {"phase": phase}
        return {
            "phase": phase,
            "containerStatuses": [{"state": {"terminated": {"exitCode": self.code, "reason": self.reason}}}],
        }

    def delete(self, path: str) -> None:
        self.deleted.append(path)


class Driver(DriverPod):
    def __init__(self, cluster: Cluster, wait_s: float = 60) -> None:
        Master.__init__(self, "k8s://here", "a driver", wait_s)
        self._api, self._conf = cluster, {STAGING: "hdfs://n/staging"}
        self._application, self._path, self._since = "", PATH, ""
        self.name, self.namespace = NAME, "archive"
        self.unstaged = False

    def offer(self) -> None:
        return None

    def _delete_staged(self) -> None:
        self.unstaged = True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_pod, "POLL_S", 0)
    monkeypatch.setattr(application, "POLL_S", 0)


def test_a_driver_that_ends_well_leaves_nothing() -> None:
    cluster = Cluster("Pending", "Running", None, "Running", "Succeeded")
    driver = Driver(cluster)
    follow(driver, print, Interrupts())
    assert (cluster.deleted, driver.unstaged) == ([PATH], True)


def test_each_line_of_the_log_is_shown_once() -> None:
    a, b, c = (
        "2026-11-27T12:00:00.100000000Z a",
        "2026-11-27T12:00:00.200000000Z b",
        "2026-11-27T12:00:01.000000000Z c d",
    )
    cluster = Cluster("Running", "Running", "Succeeded", logs=(f"{a}\n", f"{a}\n{b}\n", f"{a}\n{b}\n{c}\n"))
    shown: list[str] = []
    follow(Driver(cluster), shown.append, Interrupts())
    assert shown == ["a", "b", "c d"]
    assert cluster.since == ["", "2026-11-27T12:00:00Z", "2026-11-27T12:00:00Z"]


def test_times_of_any_zone_and_odd_ends_of_lines_hide_nothing() -> None:
    odd = "2026-11-27T14:00:00.5+02:00 50 %\rtqdm: 60 %\x0cnext\r"
    later = "2026-11-27T12:00:01Z end"
    cluster = Cluster("Running", "Running", "Succeeded", logs=(f"{odd}\n", f"{odd}\nno time\n{later}\n"))
    shown: list[str] = []
    follow(Driver(cluster), shown.append, Interrupts())
    assert shown == ["50 %\rtqdm: 60 %\x0cnext", "end"]
    assert cluster.since == ["", "2026-11-27T12:00:00Z", "2026-11-27T12:00:01Z"]


def test_a_driver_that_fails_is_left_for_its_log() -> None:
    cluster = Cluster("Running", "Failed", code=2, reason="Error")
    driver = Driver(cluster)
    with pytest.raises(ApplicationFailed, match=f"all of it: kubectl logs -n archive {NAME}") as caught:
        follow(driver, print, Interrupts())
    assert caught.value.exit_code is ExitCode.USAGE
    assert (cluster.deleted, driver.unstaged) == ([], True)


def test_a_deleted_driver_has_failed() -> None:
    with pytest.raises(ApplicationFailed, match="its pod was deleted"):
        follow(Driver(Cluster("Running", "Deleted")), print, Interrupts())


def test_a_wait_for_a_place_says_what_for_and_ends() -> None:
    cluster = Cluster("Pending")
    asked = r"Asked for: a driver\. It has: it does not say; pods: 1 pending \(0/1 nodes are available\)"
    with pytest.raises(NoResources, match=asked):
        follow(Driver(cluster, wait_s=0), print, Interrupts())
    assert cluster.deleted == [PATH]


def test_an_interrupt_deletes_the_driver() -> None:
    cluster = Cluster("Running")
    with pytest.raises(Interrupted):
        follow(Driver(cluster), print, Interrupts(2))
    assert cluster.deleted == [PATH]


def test_a_server_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "SILENT_WITHIN_S", 0)
    with pytest.raises(Py4JJavaError):
        follow(Driver(Cluster("Running", None)), print, Interrupts())


@pytest.mark.parametrize(
    ("reason", "full_heap", "code", "told"),
    [
        ("Error", False, 3, ExitCode.CHECK_FAILED),
        ("Error", True, 3, ExitCode.RUN_FAILED),
        ("OOMKilled, exit code 137", False, 137, ExitCode.RUN_FAILED),
    ],
)
def test_a_driver_without_memory_is_told_so(reason: str, full_heap: bool, code: int, told: ExitCode) -> None:
    """A full heap is no damaged file, whose exit code is 3 too."""
    error = failure("archive", NAME, Pod(NAME, None, "Failed", code, reason), full_heap=full_heap)
    assert error.exit_code is told
    assert ("the driver ran out of memory" in str(error)) is (told is ExitCode.RUN_FAILED)


def test_names_of_pods_are_kubernetes_names() -> None:
    first, second = (pod_settings("Éa_census.v2")[POD_NAME] for _ in range(2))
    assert first.startswith("git-lakehouse-")
    assert first != second
    assert len(first) <= 63
    assert set(first) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_no_secret_gets_into_a_config_map() -> None:
    account = {"spark.kubernetes.authenticate.driver.serviceAccountName": "spark"}
    refuse_secrets(account | {"spark.kubernetes.authenticate.oauthTokenFile": "/t", "spark.executor.cores": "1"})
    refuse_secrets(
        {
            "spark.kubernetes.container.image.pullSecrets": "registry",
            "spark.kubernetes.container.image": "lake@sha256:00",
            "spark.kerberos.principal": "lake@EXAMPLE.ORG",
            "spark.kubernetes.executor.secretKeyRef.TOKEN": "forges:github",
            "spark.authenticate": "true",
        }
    )
    for key in ("spark.kubernetes.authenticate.submission.oauthToken", "spark.hadoop.fs.s3a.secret.key"):
        with pytest.raises(SecretShown, match=key):
            refuse_secrets(account | {key: "hush"})
