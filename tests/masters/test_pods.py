"""What is read from Kubernetes' own words about pods and nodes, and what a driver in a pod knows of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.rules.cluster import GIB, MIB
from pipeline.rules.offer import Node, Offer
from pipeline.tables.masters.kubernetes import Api, Kubernetes, of_this_driver, server
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.pods import Pod, ended_executors, offer, pod, quantity, waiting

NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu."


def described(name: str, number: int, **status: Any) -> dict[str, Any]:
    labels = {"spark-role": "executor", "spark-exec-id": str(number), "spark-app-selector": "spark-1"}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def pending(number: int) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}
    return described(f"e-{number}", number, phase="Pending", conditions=[condition])


def failed(number: int) -> dict[str, Any]:
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    return described(f"e-{number}", number, phase="Failed", containerStatuses=[{"state": state}])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2", 2),
        ("1500m", 1.5),
        ("2Gi", 2 * GIB),
        ("24619264Ki", 24619264 * 1024),
        ("1e3", 1000),
        ("1E", 1e18),
        ("0.5", 0.5),
    ],
)
def test_quantities_as_kubernetes_writes_them(text: str, size: float) -> None:
    assert quantity(text) == size


def test_what_is_no_quantity_is_no_number() -> None:
    with pytest.raises(ValueError, match="not a quantity: 2 apples"):
        quantity("2 apples")


def test_a_pods_state_is_told_in_kubernetes_words() -> None:
    assert pod(pending(1)) == Pod("e-1", 1, "Pending", None, f"Unschedulable, {NO_ROOM}")
    assert pod(failed(2)) == Pod("e-2", 2, "Failed", 137, "OOMKilled, exit code 137")
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling "x"\n'}}
    assert pod(described("e", 3, phase="Pending", containerStatuses=[{"state": waits}])).reason.startswith(
        "ImagePullBackOff"
    )
    driver = {"metadata": {"name": "d", "labels": {"spark-role": "driver"}}, "status": {"phase": "Running"}}
    assert pod(driver) == Pod("d", None, "Running", None, "")


def test_executors_that_are_gone_have_ended_too() -> None:
    """Spark deletes the pod of an executor that ended; its number is not given again."""
    assert ended_executors([]) == 0
    assert ended_executors([pod(pending(1)), pod(pending(2))]) == 0
    assert ended_executors([pod(pending(7)), pod(pending(6))]) == 5
    assert ended_executors([pod(failed(3)), pod(pending(2))]) == 2


def test_pods_that_wait_are_counted_by_their_reason() -> None:
    assert waiting([pod(pending(1)), pod(failed(2)), pod(pending(3))]) == f"pods: 2 pending (Unschedulable, {NO_ROOM})"
    assert waiting([pod(failed(2))]) == ""


def node(name: str, ready: bool = True, **spec: Any) -> dict[str, Any]:
    status = {
        "allocatable": {"cpu": "4", "memory": "8Gi"},
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def asking(where: str, cpu: str, memory: str) -> dict[str, Any]:
    return {
        "spec": {"nodeName": where, "containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}, {}]}
    }


def test_nodes_offer_what_pods_have_not_asked_for() -> None:
    pods = [asking("a", "1500m", "1Gi"), asking("a", "100m", "512Mi"), asking("elsewhere", "4", "8Gi")]
    assert offer([node("a"), node("b")], pods) == Offer(
        (Node(4, 8 * GIB, 2, 8 * GIB - 1536 * MIB), Node(4, 8 * GIB, 4, 8 * GIB))
    )
    assert offer([node("a")], [asking("a", "9", "9Gi")]) == Offer((Node(4, 8 * GIB, 0, 0),))


def test_nodes_that_take_no_pods_offer_nothing() -> None:
    control = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert offer([node("a", ready=False), node("b", unschedulable=True), node("c", taints=control)], []) == Offer(())
    ours = [{"key": "pool", "value": "archive", "effect": "NoSchedule"}]
    assert len(offer([node("a", taints=ours)], []).nodes) == 1


class Answers(Api):
    """An API server that has these pods, look by look, and then tells of changes; nobody may list nodes."""

    def __init__(self, *looks: list[dict[str, Any]], changes: tuple[dict[str, Any], ...] = ()) -> None:
        self.namespace = "spark"
        self.looks = list(looks)
        self.changes = changes
        self.version = 0
        self.asked: list[str] = []

    def text(self, path: str, **query: str) -> str:
        self.asked.append(path)
        if path.endswith("/log"):
            return "starting\njava.lang.IllegalStateException: no such flag\n"
        if "watch" in query:
            assert query["resourceVersion"] == "1", "all since the first look is of interest"
            expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
            events = [{"type": "MODIFIED", "object": each} for each in self.changes] or [expired]
            return "".join(f"{json.dumps(event)}\n" for event in events)
        self.version += 1
        items = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return json.dumps({"items": items, "metadata": {"resourceVersion": str(self.version)}})


class Known(Kubernetes):
    def __init__(self, api: Answers) -> None:
        Master.__init__(self, "k8s://here", "an executor", 1)
        self._api, self._application, self._last_words, self._first_seen = api, "", "", ""

    def offer(self) -> None:
        return None


def test_last_words_outlive_the_pod() -> None:
    master = Known(Answers([failed(1)], [pending(2)]))
    assert (master.ended_executors("spark-1"), master.ended_executors("spark-1")) == (1, 1)
    assert master.why_executors_died("spark-1") == (
        "e-1: OOMKilled, exit code 137; starting; java.lang.IllegalStateException: no such flag"
    )
    assert master.offered() == f"it does not say; pods: 1 pending (Unschedulable, {NO_ROOM})"


def test_who_came_and_went_between_two_looks_is_heard() -> None:
    master = Known(Answers([pending(1)], [pending(2)], changes=(pending(1), failed(1))))
    assert (master.ended_executors("spark-1"), master.ended_executors("spark-1")) == (0, 1)
    assert master.why_executors_died("spark-1").startswith("e-1: OOMKilled, exit code 137; starting; ")
    forgotten = Known(Answers([pending(1)], [pending(2)]))
    assert (forgotten.ended_executors("spark-1"), forgotten.ended_executors("spark-1")) == (0, 1)
    assert "e-1" not in forgotten.why_executors_died("spark-1")


def test_a_master_without_a_scheme_is_asked_by_https() -> None:
    assert server("k8s://https://h:6443") == server("k8s://h:6443") == "https://h:6443"
    assert server("k8s://http://h") == "http://h"


def test_a_driver_in_a_pod_knows_its_place(tmp_path: Path) -> None:
    here = {"spark.driver.host": "127.0.0.1"}
    assert of_this_driver("k8s://https://127.0.0.1:1", tmp_path) == here | {"spark.kubernetes.namespace": "default"}
    (tmp_path / "namespace").write_text("archive\n")
    assert of_this_driver("k8s://127.0.0.1", tmp_path) == here | {"spark.kubernetes.namespace": "archive"}
