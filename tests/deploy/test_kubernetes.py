"""The node that ``scripts/kubernetes start`` gives: pods, names, services, rights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from one_node_kubernetes import NODE, Kubernetes
from tests.support.kubernetes import Namespace, busybox, cluster, namespace

__all__ = ["busybox", "cluster", "namespace"]
pytestmark = pytest.mark.kubernetes

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *arguments: str, **spec: Any) -> dict[str, Any]:
    """A pod with one container, under the restricted standard of pod security."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "securityContext": RESTRICTED,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the machine")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def service_of_the_machine(cluster: Kubernetes) -> Iterator[str]:
    with ThreadingHTTPServer((cluster.address, 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{cluster.address}:{server.server_port}/"
        server.shutdown()


def test_a_pod_of_a_local_image_runs_without_rights(namespace: Namespace, busybox: str) -> None:
    namespace.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    namespace.apply(pod("id", busybox, "sh", "-c", "/bin/busybox id; /bin/busybox touch /x"))
    namespace.waits_for("id", "Failed")
    log = namespace.kubectl("logs", "id")
    assert log.startswith("uid=65534 ")
    assert "Read-only file system" in log


def test_pods_have_addresses_and_services_have_names(namespace: Namespace, busybox: str) -> None:
    namespace.apply(
        pod("server", busybox, "httpd", "-f", "-p", "8080", "-h", "/www"),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "greeting"},
            "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    namespace.waits_for("server", "Running")
    address = namespace.get("pod", "server")["status"]["podIP"]
    assert address != namespace.cluster.address
    for name, target in (("by-address", f"{address}:8080"), ("by-name", "greeting")):
        asked = f"/bin/busybox wget -q -O - http://{target}/"
        namespace.apply(pod(name, busybox, "sh", "-c", f"until {asked}; do /bin/busybox sleep 1; done"))
        assert "hello from a pod" in namespace.ends(name)


def test_a_pod_reaches_a_service_of_the_machine(
    namespace: Namespace, busybox: str, service_of_the_machine: str
) -> None:
    namespace.apply(pod("outward", busybox, "wget", "-q", "-O", "-", service_of_the_machine))
    assert namespace.ends("outward") == "hello from the machine"


def test_a_pod_finds_the_api_server_and_may_do_nothing_there(namespace: Namespace, busybox: str) -> None:
    asked = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc kubernetes.default.svc 443"
    namespace.apply(pod("api", busybox, "sh", "-c", f"until {asked}; do /bin/busybox sleep 1; done"))
    assert "an HTTP request to an HTTPS server" in namespace.ends("api")
    account = f"--as=system:serviceaccount:{namespace.name}:default"
    denied = namespace.cluster.kubectl("auth", "can-i", "list", "pods", account, f"--namespace={namespace.name}")
    assert denied.stdout.strip() == "no"


def test_a_cron_jobs_job_ends(namespace: Namespace, busybox: str) -> None:
    template = {"spec": {"backoffLimit": 0, "template": {"spec": pod("x", busybox, "echo", "done")["spec"]}}}
    namespace.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template},
        }
    )
    namespace.kubectl("create", "job", "--from=cronjob/nightly", "now")
    namespace.kubectl("wait", "--for=condition=complete", "job/now", "--timeout=120s")
    assert namespace.kubectl("logs", "job/now") == "done\n"


def test_the_node_has_what_the_machine_has(cluster: Kubernetes) -> None:
    status = Namespace(cluster, "default").get("node", NODE)["status"]
    assert {"type": "InternalIP", "address": cluster.address} in status["addresses"]
    assert status["nodeInfo"]["kubeletVersion"] == "v1.35.4"
