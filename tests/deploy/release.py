"""A release of the chart on the node of ``scripts/kubernetes``, with HDFS and a git daemon of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from hadoop_daemons import cache_folder
from pipeline.model.version import __version__
from pipeline.storage.errors import FileMissing
from tests.e2e.archive import Archive, night
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, helm
from tests.support.servers import git_daemon
from tests.support.sockets import Peer
from tests.support.until import until as found_at_last

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "git-lakehouse"
IMAGE = cache_folder() / "image"
LIMIT_S = 900
CREW, EXECUTOR = "nightly", "executor"

T = TypeVar("T")


@pytest.fixture(scope="module")
def image(namespace: Namespace) -> str:
    archive = IMAGE / f"git-lakehouse-{__version__}.tar"
    if not archive.exists():
        pytest.skip("needs the image: scripts/image")
    namespace.cluster.load(archive)
    return "localhost/git-lakehouse"


@pytest.fixture(scope="module")
def hdfs(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniHdfs]:
    """An HDFS that pods reach."""
    cluster = MiniHdfs(tmp_path_factory.mktemp("hdfs") / "cluster", host=namespace.cluster.address)
    yield cluster
    cluster.wipe()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def server(namespace: Namespace, served: Path) -> Iterator[Peer]:
    with git_daemon(served, namespace.cluster.address) as daemon:
        yield daemon


class Release:
    """The chart, installed in a namespace."""

    def __init__(self, namespace: Namespace, name: str, values: dict[str, Any]) -> None:
        self.namespace = namespace
        self.name = name
        self.values = values

    def install(self) -> None:
        """Install, with the archive made by the chart's own Job."""
        self._helm(
            "install", self.name, str(CHART), "--values=-", "--wait", "--timeout=10m", text=json.dumps(self.values)
        )

    def upgrade(self, *arguments: str) -> None:
        """Upgrade with changed values."""
        self._helm("upgrade", self.name, str(CHART), "--reuse-values", "--wait", "--timeout=10m", *arguments)

    def rolls_back(self) -> None:
        """Go back to the revision before."""
        self._helm("rollback", self.name, "--wait", "--timeout=10m")

    def uninstall(self) -> None:
        """Uninstall; all pods are gone."""
        self._helm("uninstall", self.name, "--wait", "--timeout=10m")
        until(lambda: not self.namespace.get("pods", self.of())["items"], "pods are left")

    def _helm(self, *arguments: str, text: str | None = None) -> str:
        return helm(self.namespace, *arguments, text=text)

    def night(self, day: int) -> str:
        """Start the night of a day as its CronJob would; returns the Job's name."""
        minutes = int(datetime.combine(night(day), datetime.min.time(), UTC).timestamp()) // 60 + 75
        name = f"{self.name}-nightly-{minutes}"
        self.namespace.kubectl("create", "job", name, f"--from=cronjob/{self.name}-nightly")
        return name

    def ends(self, job: str) -> None:
        """Wait for a night that must end well."""

        def ended() -> bool:
            conditions = self.namespace.get("job", job)["status"].get("conditions", [])
            kinds = {one["type"] for one in conditions if one["status"] == "True"}
            assert "Failed" not in kinds, f"{conditions}\n{self.logs(job)}"
            return "Complete" in kinds

        until(ended, "the night did not end")

    def commanded(self, *words: str) -> str:
        """What a command says, as a Job of the chart."""
        given = self.values | {"command": {"args": list(words), "resources": self.values["maintain"]["resources"]}}
        only = ("template", self.name, str(CHART), "--values=-", "--show-only=templates/command.yaml")
        job = yaml.safe_load(self._helm(*only, text=json.dumps(given)))
        self.namespace.apply(job)
        self.ends(job["metadata"]["name"])
        return self.namespace.kubectl("logs", f"job/{job['metadata']['name']}")

    def of(self, component: str = "") -> str:
        """What selects the pods of this release, or those of one component."""
        labels = [
            f"app.kubernetes.io/instance={self.name}",
            *([f"app.kubernetes.io/component={component}"] * bool(component)),
        ]
        return f"--selector={','.join(labels)}"

    def logs(self, job: str) -> str:
        """The last words of a Job's pods."""
        of = f"--selector=batch.kubernetes.io/job-name={job}"
        return self.namespace.kubectl("logs", of, "--prefix", "--tail=60", "--ignore-errors")

    def running(self, component: str) -> list[str]:
        """Names of running pods."""
        pods = self.namespace.get("pods", self.of(component))["items"]
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return [pod["metadata"]["name"] for pod in alive if pod["status"]["phase"] == "Running"]

    def leader(self, archive: Archive) -> str | None:
        """The crawl pod that holds the archive."""
        try:
            host = str(json.loads(archive.storage.read("lease.json"))["host"])
        except FileMissing:
            return None
        return next(
            (pod for pod in self.running(CREW) if pod.startswith(f"{host}-")), None
        )  # a Job's host has no suffix

    def kills(self, pod: str) -> None:
        """Kill a pod at once."""
        self.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def retries(self) -> int:
        """How many pods may fail before the night does."""
        job = self.namespace.get("cronjob", f"{self.name}-nightly")["spec"]["jobTemplate"]["spec"]
        return int(job["backoffLimit"])


def values(namespace: Namespace, image: str, archive: Archive) -> dict[str, Any]:
    """The chart's values for a small node, with the settings of an archive that are not its machine's."""
    settings, machine = archive.settings, f"{namespace.cluster.address}/32"
    small = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}}
    fetch = {key: value for key, value in settings["fetch"].items() if key != "scratch"}
    spark = {
        "master": "k8s://https://kubernetes.default.svc",
        "driver_memory": "1g",
        "cluster": {"threads": 2, "memory_bytes": 8 << 30},
        "conf": settings["spark.conf"]
        | {
            "spark.executor.instances": "1",
            "spark.executor.cores": "2",
            "spark.executor.memory": "1g",
            "spark.executor.memoryOverhead": "1g",
            "spark.memory.offHeap.size": "256m",
            "spark.kubernetes.executor.request.cores": "100m",
        },
    }
    return {
        "image": {"repository": image, "pullPolicy": "Never"},
        "config": {
            "archive": settings["archive"],
            "hdfs": settings["hdfs"] | {"user": "root"},
            "fetch": fetch | {"limits": settings["fetch.limits"]},
            "nightly": settings["nightly"],
            "log": settings["log"],
            "spark": spark,
        },
        "nightly": {"crawlHosts": 2, "grace": 30, "resources": small},
        "maintain": {"resources": small},
        "luigid": {
            "storage": {"ephemeral": True, "size": "64Mi"},
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        },
        "scratch": {"size": "5Gi"},
        "executors": {"scratch": "5Gi"},
        "networkPolicy": {
            "hdfs": [{"ipBlock": {"cidr": machine}}],
            "apiServer": [{"cidr": machine, "port": namespace.cluster.state["ports"]["kube-apiserver"]}],
        },
    }


def until(found: Callable[[], T | None], otherwise: str) -> T:
    """What was found at last; on the node everything takes long."""
    return found_at_last(found, otherwise, limit_s=LIMIT_S, pause_s=0.3)


def of_one_pod(given: dict[str, Any]) -> dict[str, Any]:
    """The values of a release whose nights have one crawl pod."""
    nightly = given["nightly"] | {"crawlHosts": 1, "retries": 0}
    return given | {"nightly": nightly, "luigid": {"enabled": False}}
