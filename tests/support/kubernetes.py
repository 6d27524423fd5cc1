"""The node of ``scripts/kubernetes``, for tests that ``scripts/kubernetes test`` runs."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from container_archive import write_archive
from one_node_kubernetes import Kubernetes

BUSYBOX = "localhost/busybox:1"
WITHIN_S = 120


class Namespace:
    """A namespace of the running node, of one test file."""

    def __init__(self, cluster: Kubernetes, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """What kubectl prints; an assertion that it succeeds."""
        done = self.cluster.kubectl(f"--namespace={self.name}", *arguments, text=text)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Objects as kubectl gives them."""
        return dict(json.loads(self.kubectl("get", *arguments, "--output=json")))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Makes objects, or changes them."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(listed))

    def ends(self, pod: str, within_s: float = WITHIN_S) -> str:
        """The log of a pod that must end well."""
        self.waits_for(pod, "Succeeded", within_s)
        return self.kubectl("logs", pod)

    def waits_for(self, pod: str, phase: str, within_s: float = WITHIN_S) -> None:
        """Waits until a pod is in a phase."""
        until = time.monotonic() + within_s
        while True:
            status = self.get("pod", pod)["status"]
            if status["phase"] == phase:
                return
            ended = status["phase"] in ("Succeeded", "Failed")
            assert not ended, f"{pod} {status['phase']}: {self.kubectl('logs', pod)}"
            assert time.monotonic() < until, f"{pod}: {json.dumps(status)}"
            time.sleep(0.2)


def helm(namespace: Namespace, *arguments: str, text: str | None = None) -> str:
    """What helm prints in a namespace; an assertion that it succeeds."""
    command = [namespace.cluster.program("helm"), f"--kubeconfig={namespace.cluster.kubeconfig}"]
    command += [f"--namespace={namespace.name}", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def cluster() -> Kubernetes:
    """The running node."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("needs the node of scripts/kubernetes: scripts/kubernetes test")
    return Kubernetes(Path(os.environ["KUBECONFIG"]).parents[1])


@pytest.fixture(scope="module")
def namespace(cluster: Kubernetes) -> Iterator[Namespace]:
    """A new namespace, deleted at the end."""
    name = f"test-{secrets.token_hex(4)}"
    made = Namespace(cluster, name)
    made.kubectl("create", "namespace", name)
    made.kubectl("wait", "--for=create", "serviceaccount/default", f"--timeout={WITHIN_S}s")
    yield made
    made.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def busybox(cluster: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with busybox alone, brought onto the node."""
    found = subprocess.run(["sh", "-c", "command -v busybox"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("needs a static busybox (Debian: busybox-static)")
    archive = tmp_path_factory.mktemp("image") / "busybox.tar"
    files = {"bin/busybox": Path(found.stdout.strip()).read_bytes(), "www/index.html": b"hello from a pod"}
    write_archive(archive, BUSYBOX, files, ["/bin/busybox"])
    cluster.load(archive)
    return BUSYBOX
