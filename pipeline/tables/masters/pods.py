"""Pods and nodes of Kubernetes as its API describes them. Pure functions over its JSON objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.redact import one_line
from pipeline.rules.offer import Node, Offer

APPLICATION = "spark-app-selector"
"""The label with which Spark marks all pods of an application."""

_EXECUTOR_ID = "spark-exec-id"
_ROLE = "spark-role"

ENDED = frozenset({"Succeeded", "Failed"})

_SYSTEMS_TAINTS = ("node.kubernetes.io/", "node-role.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Prefixes of the taints of nodes that take no pods now, or none but Kubernetes' own. A pool of nodes for us may have
others, which our pods tolerate."""

_UNITS = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of an application.

    Attributes:
        executor: its number, which counts from 1; None for a driver.
        phase: Kubernetes' word.
        code: exit code of Spark's container; None before it ended.
        reason: why it does not run, in Kubernetes' words; "" if nothing is said.
    """

    name: str
    executor: int | None
    phase: str
    code: int | None
    reason: str

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in ENDED


def pod(found: Mapping[str, Any]) -> Pod:
    """A pod as the API has it."""
    labels = found["metadata"].get("labels", {})
    status = found.get("status", {})
    number = str(labels.get(_EXECUTOR_ID, ""))
    executor = int(number) if labels.get(_ROLE) == "executor" and number.isdigit() else None
    states = [container.get("state", {}) for container in status.get("containerStatuses", ())]
    codes = [int(state["terminated"]["exitCode"]) for state in states if "terminated" in state]
    return Pod(
        found["metadata"]["name"], executor, status.get("phase", "Unknown"), max(codes, default=None), _why(status)
    )


def _why(status: Mapping[str, Any]) -> str:
    """Of all that Kubernetes says, what keeps a pod from running, or ended it."""
    said = [
        status,
        *(c for c in status.get("conditions", ()) if c.get("type") == "PodScheduled" and c["status"] == "False"),
    ]
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        state = container.get("state", {})
        said += [state[kind] for kind in ("waiting", "terminated") if kind in state]
    parts = []
    for one in said:
        words = [str(one[key]) for key in ("reason", "message") if one.get(key)]
        if one.get("exitCode"):
            words.append(f"exit code {one['exitCode']}")
        if words:
            parts.append(", ".join(words))
    return one_line("; ".join(parts))


def ended_executors(pods: Iterable[Pod]) -> int:
    """How many executors have ended. Spark numbers them one after another, and deletes those that ended."""
    executors = [one for one in pods if one.executor is not None]
    return max((one.executor or 0 for one in executors), default=0) - sum(not one.ended for one in executors)


def waiting(pods: Iterable[Pod]) -> str:
    """The pods that do not run yet, and why, in words; "" if there are none."""
    by_reason: dict[str, int] = {}
    for one in pods:
        if one.phase == "Pending":
            by_reason[one.reason] = by_reason.get(one.reason, 0) + 1
    told = [f"{count} pending{reason and f' ({reason})'}" for reason, count in sorted(by_reason.items())]
    return f"pods: {', '.join(told)}" if told else ""


def offer(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> Offer:
    """What nodes offer, with what pods on them have asked for taken off."""
    cores: dict[str, float] = {}
    memory: dict[str, float] = {}
    for one in pods:
        node = one["spec"].get("nodeName", "")
        asked = [container.get("resources", {}).get("requests", {}) for container in one["spec"]["containers"]]
        cores[node] = cores.get(node, 0) + sum(quantity(each.get("cpu", "0")) for each in asked)
        memory[node] = memory.get(node, 0) + sum(quantity(each.get("memory", "0")) for each in asked)
    return Offer(
        tuple(
            _node(one["status"]["allocatable"], cores.get(name, 0), memory.get(name, 0))
            for one in nodes
            if _takes_pods(one)
            for name in [one["metadata"]["name"]]
        )
    )


def _node(has: Mapping[str, str], cores: float, memory: float) -> Node:
    all_cores, all_bytes = quantity(has["cpu"]), quantity(has["memory"])
    return Node(int(all_cores), int(all_bytes), int(max(all_cores - cores, 0) + 1e-9), int(max(all_bytes - memory, 0)))


def _takes_pods(node: Mapping[str, Any]) -> bool:
    spec = node.get("spec", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
    kept_out = any(
        taint["key"].startswith(_SYSTEMS_TAINTS) and taint["effect"] != "PreferNoSchedule"
        for taint in spec.get("taints", ())
    )
    return ready and not spec.get("unschedulable", False) and not kept_out


def quantity(text: str) -> float:
    """A quantity as Kubernetes writes it, such as ``1500m``, ``2Gi`` or ``1e3``."""
    found = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", text.strip())
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"not a quantity: {text}")
    return float(found[1]) * _UNITS[found[2]]
