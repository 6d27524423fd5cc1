"""Nights by the chart on the node of ``scripts/kubernetes``, in pods of the image of ``scripts/image``.

The archive is on a real HDFS, the origins on a git daemon, both of this machine. Two crawl pods fetch, the driver is in
one of them, executors are pods. In the second night the leader's pod, the other crawl pod and an executor die, and the
release is upgraded; the archive then equals one that was made in peace.
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
from tests.workflows.test_hosts import WHEN, hosts_of

__all__ = ["cluster", "namespace"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.hdfs, pytest.mark.timeout(3600)]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "git-lakehouse"
IMAGE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-lakehouse" / "image"
RELEASE = "git-lakehouse"
BUCKETS = 4
JOB = "language_census"
LIMIT_S = 900
CREW = "app.kubernetes.io/component=nightly"
EXECUTORS = "app.kubernetes.io/component=executor"

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
    namespace: Namespace, image: str, hdfs: MiniHdfs, served: Path, server: Peer, one_spark: None, tmp_path: Path
) -> None:
    place = Place("hdfs", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url]})
    settings: dict[str, Any] = {
        "archive": {"buckets": BUCKETS, "lease_s": 8},
        "fetch": {"allowed_networks": [f"{namespace.cluster.address}/32"]},
        "nightly": {"jobs": [JOB]},
    }
    calm, archive = (Archive.at(place, tmp_path / name, name, **settings) for name in ("calm", "archive"))
    urls = spread(server, many_small(served, 40), BUCKETS, each=2)
    forked = fork_of(served / urls[0].rpartition("/")[2], served / "fork.git")
    release = Release(namespace, values(namespace, image, archive))

    release.install()
    for each in (calm, archive):
        if each is calm:
            each.init()
        each.add(*urls, (server.url(forked.name), urls[0]))

    calm.nightly(1)
    first = release.night(1)
    until(lambda: len(release.running(CREW)) == 2, "two crawl pods")
    until(lambda: release.running(EXECUTORS), "an executor")
    release.ends(first)
    same(archive, calm, 1)
    census = f"SELECT language, files FROM archive.results.{JOB} WHERE night = DATE '{night(1)}' ORDER BY 1"
    assert archive.sql(census) == calm.sql(census) != []

    for url in urls[:4]:
        add_commits(served / url.rpartition("/")[2], 3, label="second")
    calm.nightly(2)
    second = release.night(2)
    until(lambda: len(release.running(CREW)) == 2, "two crawl pods")
    leader = until(lambda: release.leader(archive), "a leader")
    (helper,) = set(release.running(CREW)) - {leader}
    namespace.kubectl("delete", "pod", helper, "--wait=false")
    release.upgrade("--set", "nightly.retries=13")
    release.kills(until(lambda: release.running(EXECUTORS), "an executor")[0])
    release.kills(release.leader(archive) or leader)
    release.ends(second)
    same(archive, calm, 2)

    release.rolls_back()
    assert release.retries() == 12
    release.uninstall()
    same(archive, calm, 2)
    release.install()
    add_commits(served / urls[5].rpartition("/")[2], 1, label="third")
    calm.nightly(3)
    release.ends(release.night(3))
    same(archive, calm, 3)
    archive.ask("fsck", "--deep")
    for url in (urls[0], urls[5]):
        name = url.rpartition("/")[2]
        assert compare(served / name, archive.restore(url, tmp_path / f"restored-{name}")) == []
    assert set(hosts_of(archive, 3).values()) <= {pod for pod in release.seen if "nightly" in pod}


class Release:
    """The chart, installed in a namespace."""

    def __init__(self, namespace: Namespace, values: dict[str, Any]) -> None:
        self.namespace = namespace
        self.values = values
        self.seen: set[str] = set()

    def install(self) -> None:
        """Install, with the archive made by the chart's own Job."""
        self._helm(
            "install", RELEASE, str(CHART), "--values=-", "--wait", "--timeout=10m", text=json.dumps(self.values)
        )

    def upgrade(self, *arguments: str) -> None:
        """Upgrade with changed values."""
        self._helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--wait", "--timeout=10m", *arguments)

    def rolls_back(self) -> None:
        """Go back to the revision before."""
        self._helm("rollback", RELEASE, "--wait", "--timeout=10m")

    def uninstall(self) -> None:
        """Uninstall; all pods are gone."""
        self._helm("uninstall", RELEASE, "--wait", "--timeout=10m")
        until(lambda: not self.namespace.get("pods")["items"], "no pod left")

    def _helm(self, *arguments: str, text: str | None = None) -> str:
        return helm(self.namespace, *arguments, text=text)

    def night(self, day: int) -> str:
        """Start the night of a day as its CronJob would; returns the Job's name."""
        minutes = int(datetime.combine(night(day), datetime.min.time(), UTC).timestamp()) // 60 + 75
        name = f"{RELEASE}-nightly-{minutes}"
        self.namespace.kubectl("create", "job", name, f"--from=cronjob/{RELEASE}-nightly")
        return name

    def ends(self, job: str) -> None:
        """Wait for a night that must end well."""

        def ended() -> bool:
            self.running(CREW)
            conditions = self.namespace.get("job", job)["status"].get("conditions", [])
            kinds = {one["type"] for one in conditions if one["status"] == "True"}
            assert "Failed" not in kinds, f"{conditions}\n{self.logs()}"
            return "Complete" in kinds

        until(ended, "the night did not end")

    def logs(self) -> str:
        """The last words of all crawl pods."""
        return self.namespace.kubectl("logs", f"--selector={CREW}", "--prefix", "--tail=60", "--ignore-errors")

    def running(self, selector: str) -> list[str]:
        """Names of running pods."""
        pods = self.namespace.get("pods", f"--selector={selector}")["items"]
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        found = [pod["metadata"]["name"] for pod in alive if pod["status"]["phase"] == "Running"]
        self.seen.update(found)
        return found

    def leader(self, archive: Archive) -> str | None:
        """The crawl pod that holds the archive."""
        try:
            host = str(json.loads(archive.storage.read("lease.json"))["host"])
        except FileMissing:
            return None
        return host if host in self.running(CREW) else None

    def kills(self, pod: str) -> None:
        """Kill a pod at once."""
        self.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def retries(self) -> int:
        """How many pods may fail before the night does."""
        job = self.namespace.get("cronjob", f"{RELEASE}-nightly")["spec"]["jobTemplate"]["spec"]
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


def same(archive: Archive, calm: Archive, day: int) -> None:
    """Compare every table row for row; a doubled object would be two rows."""
    for table in ALL:
        assert archive.rows(table.name, day, without=WHEN) == calm.rows(table.name, day, without=WHEN), table.name
