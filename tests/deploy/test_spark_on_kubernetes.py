"""Drivers and executors in pods of the image of ``scripts/image``, on the node of ``scripts/kubernetes``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.version import __version__
from tests.deploy.release import IMAGE, hdfs, until
from tests.e2e.archive import Archive, Place
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, cluster, namespace
from tests.support.repos import build_graph
from tests.support.servers import git_daemon

__all__ = ["cluster", "hdfs", "namespace"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.hdfs, pytest.mark.timeout(3600)]

ACCOUNT = "spark"
JOB = "language_census"
LIMIT_S = 600
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
TMP: dict[str, Any] = {"name": "tmp", "emptyDir": {}}
FOLDERS = [{"name": "tmp", "mountPath": path} for path in ("/tmp", "/scratch")]
VERBS = ["create", "get", "list", "watch", "patch", "update", "delete", "deletecollection"]
RIGHTS: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["pods", "services", "configmaps", "persistentvolumeclaims"], "verbs": VERBS},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
]
SMALL = {
    "spark.executor.instances": "1",
    "spark.executor.cores": "1",
    "spark.executor.memory": "1g",
    "spark.executor.memoryOverhead": "512m",
    "spark.memory.offHeap.size": "128m",
    "spark.kubernetes.driver.request.cores": "100m",
    "spark.kubernetes.executor.request.cores": "100m",
    "spark.kubernetes.container.image": f"localhost/git-lakehouse:{__version__}",
    "spark.kubernetes.container.image.pullPolicy": "Never",
    "spark.kubernetes.driver.podTemplateFile": "/etc/git-lakehouse/driver.yaml",
    "spark.kubernetes.executor.podTemplateFile": "/etc/git-lakehouse/executor.yaml",
    "spark.kubernetes.driver.pod.name": "${env:POD_NAME}",
    "spark.kubernetes.authenticate.driver.serviceAccountName": ACCOUNT,
    "spark.kubernetes.driverEnv.HADOOP_USER_NAME": "root",
}


@pytest.fixture(scope="module")
def archive(
    namespace: Namespace, hdfs: MiniHdfs, one_spark: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    """An archive with a night of one repository; the node has the image, and an account may make pods."""
    image = IMAGE / f"git-lakehouse-{__version__}.tar"
    if not image.exists():
        pytest.skip("needs the image: scripts/image")
    namespace.cluster.load(image)
    rights = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": ACCOUNT}}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        rights | {"kind": "Role", "rules": RIGHTS},
        rights
        | {
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
        },
    )
    served = tmp_path_factory.mktemp("served")
    build_graph(served / "a.git", [[1], [2, 1], [3, 2]])
    place = Place("kubernetes", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url], "user": "root"})
    with git_daemon(served) as server:
        made = Archive.at(place, tmp_path_factory.mktemp("archive"), "archive", archive={"buckets": 2})
        made.init()
        made.add(server.url("a.git"))
        made.nightly(1)
        yield made


Command = Callable[..., str]


@pytest.fixture
def command(namespace: Namespace, archive: Archive, tmp_path: Path) -> Command:
    """Starts a command in a pod, with these settings of Spark; returns the pod's name."""

    def start(name: str, *words: str, conf: dict[str, str] | None = None, **spark: Any) -> str:
        settings = archive.with_settings(
            spark={"master": "k8s://https://kubernetes.default.svc", "driver_memory": "768m"} | spark,
            spark__cluster={"threads": 2, "memory_bytes": 8 << 30},
            spark__conf=SMALL | (conf or {}),
        )
        spark_container = {"name": "spark", "securityContext": RESTRICTED, "volumeMounts": FOLDERS}
        files = {
            "config.toml": settings.config_path.read_text(),
            "driver.yaml": template(spark_container),
            "executor.yaml": template(spark_container | {"terminationMessagePolicy": "FallbackToLogsOnError"}),
        }
        container = {
            "name": "main",
            "image": SMALL["spark.kubernetes.container.image"],
            "imagePullPolicy": "Never",
            "args": ["pipeline", *words],
            "securityContext": RESTRICTED,
            "env": [
                {"name": "PIPELINE_CONFIG", "value": "/etc/git-lakehouse/config.toml"},
                {"name": "HADOOP_USER_NAME", "value": "root"},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "volumeMounts": [{"name": "config", "mountPath": "/etc/git-lakehouse"}, *FOLDERS],
        }
        namespace.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": ACCOUNT,
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": name}}, TMP],
                },
            },
        )
        return name

    return start


def template(container: dict[str, Any]) -> str:
    """A template of pods that Spark makes."""
    return json.dumps({"spec": {"containers": [container], "volumes": [TMP]}})


def others(namespace: Namespace, role: str) -> list[str]:
    """Names of the pods that Spark has made."""
    return [pod["metadata"]["name"] for pod in namespace.get("pods", f"--selector=spark-role={role}")["items"]]


def code(namespace: Namespace, pod: str) -> int:
    """The exit code of a pod's command, once it has ended."""

    def ended() -> dict[str, Any] | None:
        statuses = namespace.get("pod", pod)["status"].get("containerStatuses", [{"state": {}}])
        return statuses[0]["state"].get("terminated")

    return int(until(ended, f"{pod} did not end")["exitCode"])


def test_executors_are_pods_of_the_commands_own(namespace: Namespace, archive: Archive, command: Command) -> None:
    rows = archive.ask("submit", JOB)
    pod = command("client", "submit", JOB, "--output", "json")
    (executor,) = until(lambda: others(namespace, "executor"), "an executor")
    (owner,) = namespace.get("pod", executor)["metadata"]["ownerReferences"]
    assert owner["name"] == pod
    said = namespace.ends(pod, LIMIT_S)
    assert sorted(map(repr, rows)) == sorted(map(repr, json.loads(said[said.index("\n[") :])))
    until(lambda: not others(namespace, "executor"), "executors are gone")


def test_a_driver_is_a_pod(namespace: Namespace, archive: Archive, command: Command) -> None:
    pod = command("cluster", "submit", JOB, "--output", "json", deploy_mode="cluster")
    said = namespace.ends(pod, LIMIT_S)
    assert "submitted driver git-lakehouse-language-census-" in said
    assert sum(row["files"] for row in json.loads(said[said.index("\n[") :])) > 0
    until(lambda: not others(namespace, "driver") + others(namespace, "executor"), "nothing is left")


def test_a_drivers_exit_code_is_that_of_submit(namespace: Namespace, archive: Archive, command: Command) -> None:
    pod = command("surplus", "submit", JOB, "--", "surplus", deploy_mode="cluster")
    assert code(namespace, pod) == 2
    said = namespace.kubectl("logs", pod)
    assert "takes no arguments, but was given surplus" in said
    (driver,) = others(namespace, "driver")
    assert f"all of it: kubectl logs -n {namespace.name} {driver}" in said
    namespace.kubectl("delete", "pod", driver)


def test_an_interrupted_submit_leaves_no_pod(namespace: Namespace, archive: Archive, command: Command) -> None:
    pod = command("interrupted", "submit", JOB, deploy_mode="cluster")
    until(lambda: others(namespace, "driver"), "a driver")
    namespace.kubectl("delete", "pod", pod)
    until(lambda: not others(namespace, "driver") + others(namespace, "executor"), "nothing is left")


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_a_wait_for_resources_is_told_and_ends(
    namespace: Namespace, archive: Archive, command: Command, mode: str
) -> None:
    """The node never has so many cores."""
    role = "executor" if mode == "client" else "driver"
    conf = {f"spark.kubernetes.{role}.request.cores": "1000"}
    pod = command(f"waiting-{mode}", "submit", JOB, conf=conf, deploy_mode=mode, wait_s=20)
    assert code(namespace, pod) == 5
    said = namespace.kubectl("logs", pod)
    first, last = said.index("waiting for resources of k8s://"), said.index("gave no resources within 20 s")
    for told in (said[first:last], said[last:]):
        assert "1g of heap, 512m beside it" in told
        assert "1 pending (Unschedulable" in told
        assert "Insufficient cpu" in told
    until(lambda: not others(namespace, role), "nothing is left")


def test_executors_that_die_at_once_end_the_command(namespace: Namespace, archive: Archive, command: Command) -> None:
    conf = {"spark.executor.extraJavaOptions": "-agentlib:no-such-agent"}
    pod = command("dying", "sql", "SELECT count(*) FROM commits", conf=conf)
    assert code(namespace, pod) == 5
    said = namespace.kubectl("logs", pod)
    assert "end as soon as they start: " in said
    assert "no-such-agent" in said
    until(lambda: not others(namespace, "executor"), "nothing is left")
