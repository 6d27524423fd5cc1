"""Nights by the chart on the node of ``scripts/kubernetes``, in pods of the image of ``scripts/image``.

The archive is on a real HDFS, the origins on a git daemon, both of this machine. Two crawl pods fetch, the driver is in
one of them, the executor is a pod. In the first night a crawl pod, the executor and the leader's pod die, and the
release is upgraded. Beside it another release makes an archive of the same origins in peace, in one pod.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

import pipeline
from pipeline.model.tables import ALL
from pipeline.model.version import __version__
from pipeline.storage.errors import FileMissing
from tests.e2e.archive import Archive, Place, night
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, cluster, helm, namespace
from tests.support.repos import add_commits, compare, fork_of, many_small
from tests.support.servers import git_daemon
from tests.support.sockets import Peer
from tests.workflows.conftest import spread
from tests.workflows.test_hosts import WHEN

__all__ = ["cluster", "namespace"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.hdfs, pytest.mark.timeout(3600)]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "git-lakehouse"
IMAGE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-lakehouse" / "image"
BUCKETS = 4
JOB = "language_census"
LIMIT_S = 900
LEASE_S = 20
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


def test_a_release_lives_through_deaths_upgrade_rollback_and_a_new_installation(
    namespace: Namespace, image: str, hdfs: MiniHdfs, served: Path, server: Peer, tmp_path: Path
) -> None:
    place = Place("hdfs", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url]})
    settings: dict[str, Any] = {
        "archive": {"buckets": BUCKETS, "lease_s": LEASE_S},
        "fetch": {"allowed_networks": [f"{namespace.cluster.address}/32"]},
        "nightly": {"jobs": [JOB]},
    }
    calm, archive = (Archive.at(place, tmp_path / name, name, **settings) for name in ("calm", "archive"))
    urls = spread(server, many_small(served, 40), BUCKETS, each=2)
    forked = fork_of(served / urls[0].rpartition("/")[2], served / "fork.git")
    release = Release(namespace, "git-lakehouse", values(namespace, image, archive))
    quiet = Release(namespace, "git-lakehouse-calm", alone(values(namespace, image, calm)))
    for each, made in ((release, archive), (quiet, calm)):
        each.install()
        made.add(*urls, (server.url(forked.name), urls[0]))

    first = release.night(1)
    leader = until(lambda: release.leader(archive), "a leader")
    helper = until(lambda: set(release.running(CREW)) - {leader}, "a second crawl pod").pop()
    namespace.kubectl("delete", "pod", helper, "--wait=false")
    release.upgrade("--set", "nightly.retries=13")
    release.kills(until(lambda: release.running(EXECUTOR), "an executor")[0])
    until(lambda: release.running(EXECUTOR), "another executor")
    release.kills(until(lambda: release.leader(archive), "a leader"))
    release.ends(first)
    quiet.ends(quiet.night(1))
    same(archive, calm, 1)
    census = archive.ask("results", "show", JOB)
    assert census == calm.ask("results", "show", JOB) != []

    release.rolls_back()
    assert release.retries() == 12
    release.uninstall()
    same(archive, calm, 1)
    release.install()
    for url in urls[:4]:
        add_commits(served / url.rpartition("/")[2], 3, label="second")
    release.ends(release.night(2))
    quiet.ends(quiet.night(2))
    same(archive, calm, 2)
    for url in (urls[0], urls[5]):
        name = url.rpartition("/")[2]
        assert compare(served / name, archive.restore(url, tmp_path / f"restored-{name}")) == []


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
            assert "Failed" not in kinds, f"{conditions}\n{self.logs()}"
            return "Complete" in kinds

        until(ended, "the night did not end")

    def of(self, component: str = "") -> str:
        """What selects the pods of this release, or those of one component."""
        labels = [
            f"app.kubernetes.io/instance={self.name}",
            *([f"app.kubernetes.io/component={component}"] * bool(component)),
        ]
        return f"--selector={','.join(labels)}"

    def logs(self) -> str:
        """The last words of all crawl pods."""
        return self.namespace.kubectl("logs", self.of(CREW), "--prefix", "--tail=60", "--ignore-errors")

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
    """What was found at last."""
    limit = time.monotonic() + LIMIT_S
    while not (there := found()):
        assert time.monotonic() < limit, otherwise
        time.sleep(0.3)
    return there


def alone(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a release whose nights are one pod, with Spark in it."""
    config = values["config"]
    conf = {key: value for key, value in config["spark"]["conf"].items() if key.startswith("spark.sql")}
    spark = {"master": "local[1]", "cluster": {"threads": 1, "memory_bytes": 1 << 30}, "conf": conf}
    once = {**values["nightly"], "crawlHosts": 1}
    return values | {"config": config | {"spark": spark}, "nightly": once, "luigid": {"enabled": False}}


def same(archive: Archive, calm: Archive, day: int) -> None:
    """Compare every table row for row; a doubled object would be two rows."""
    for table in ALL:
        assert rows(archive, table.name, day) == rows(calm, table.name, day), table.name


def rows(archive: Archive, table: str, day: int) -> list[str]:
    """All rows of a table on a night as sorted text, read without Spark."""
    found = pipeline.open(archive.location, night(day), config=archive.config_path).arrow(table)
    kept = found.drop_columns([name for name in WHEN if name in found.column_names])
    return sorted(repr(sorted(row.items())) for row in kept.to_pylist())
