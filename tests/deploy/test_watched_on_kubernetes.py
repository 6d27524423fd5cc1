"""A night that its CronJob begins by itself, as Prometheus and the node's disk see it; crawl hosts go and come."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

import pipeline
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.rules.cluster import GIB
from tests.deploy.release import CREW, EXECUTOR, Release, hdfs, image, served, until, values
from tests.e2e.archive import Archive, Place
from tests.monitoring.chain import EVERY, FOLDER, program
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, cluster, namespace
from tests.support.real_servers import served_by
from tests.support.repos import many_small
from tests.support.servers import git_daemon
from tests.support.sockets import LOOPBACK, Peer
from tests.workflows.conftest import spread

__all__ = ["cluster", "hdfs", "image", "namespace", "served"]
pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.hdfs,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(program("prometheus") is None, reason="needs Prometheus: scripts/prometheus"),
]

NAME = "git-lakehouse"
BUCKETS = 4
ENDS_WITHIN_S = 45
SEEN = {
    "git-lakehouse-run": "git_lakehouse_run_",
    "spark": "metrics_pipeline_driver_",
    "spark-executors": "metrics_executor_",
}
"""What names of metrics begin with, by job."""


class Watching:
    """A Prometheus that reads the example's jobs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, what: str, **parameters: str) -> Any:
        """The answer of its interface."""
        with urlopen(f"http://{LOOPBACK}:{self.port}/api/v1/{what}?{urlencode(parameters)}") as answer:
            return json.load(answer)["data"]

    def names(self, job: str, begin: str) -> list[str]:
        """Names of metrics of a job that begin so."""
        found = self.ask("label/__name__/values", **{"match[]": f'{{job="{job}"}}'})
        return [name for name in found if name.startswith(begin)]

    def hosts(self) -> int:
        """How many crawl hosts say how far their run is."""
        return len(self.ask("query", query="git_lakehouse_run_origins_due")["result"])


@pytest.fixture
def prometheus(namespace: Namespace, tmp_path: Path) -> Iterator[Watching]:
    """One that finds pods by the node's names."""
    text = (FOLDER / "kubernetes.yml").read_text()
    for ours, here in (("lake-git-lakehouse-metrics", f"{NAME}-metrics"), (".archive.svc", f".{namespace.name}.svc")):
        assert ours in text
        text = text.replace(ours, here)
    settings = yaml.safe_load(text) | {"global": {"scrape_interval": EVERY}}
    for job in settings["scrape_configs"]:
        job["dns_sd_configs"] = [where | {"refresh_interval": EVERY} for where in job["dns_sd_configs"]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (tmp_path / "resolv.conf").write_text(f"nameserver {namespace.cluster.state['dns']}\n")
    mounted = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", mounted, str(tmp_path / "resolv.conf"), str(program("prometheus"))]
    words += [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/prometheus"]
    with (
        (tmp_path / "prometheus.log").open("w+b") as log,
        served_by(lambda port: [*words, f"--web.listen-address={LOOPBACK}:{port}"], log) as port,
    ):
        yield Watching(port)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file; until it is there, the server lets every visit wait."""
    return tmp_path / "open"


@pytest.fixture
def server(namespace: Namespace, served: Path, gate: Path, tmp_path: Path) -> Iterator[Peer]:
    hook = tmp_path / "wait"
    hook.write_text(f"#!/bin/sh\nuntil [ -e '{gate}' ]; do sleep 0.2; done\n")
    hook.chmod(0o755)
    with git_daemon(served, namespace.cluster.address, f"--access-hook={hook}") as daemon:
        yield daemon


def test_a_night_begins_by_itself_is_watched_and_hosts_go_and_come(
    namespace: Namespace,
    image: str,
    hdfs: MiniHdfs,
    served: Path,
    server: Peer,
    gate: Path,
    prometheus: Watching,
    tmp_path: Path,
) -> None:
    place = Place("hdfs", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url]})
    archive = Archive.at(
        place, tmp_path / "archive", "archive",
        archive={"buckets": BUCKETS},
        fetch={"allowed_networks": [f"{namespace.cluster.address}/32"]},
        fetch__limits={"silence_s": 3000, "total_s": 3000},
    )  # fmt: skip
    urls = spread(server, many_small(served, 40), BUCKETS, each=2)
    given = values(namespace, image, archive)
    given["config"] |= {"metrics": {"listen": "0.0.0.0:9470"}}
    given["executors"] |= {"request": "1Gi"}
    release = Release(namespace, NAME, given)
    release.install()
    archive.add(*urls)

    began = time.monotonic()
    job, day = begins_by_itself(release)
    tell("the CronJob has made a Job", began)
    both = {f"{job}-0", f"{job}-1"}
    fetching = until(lambda: found if set((found := hosts(release)).values()) == both else None, "two hosts that fetch")
    tell("two hosts fetch", began)
    (executor,) = release.running(EXECUTOR)
    assert disk(namespace, executor) == {"requests": 2, "limits": 8}
    assert disk(namespace, release.running(CREW)[0]) == {"requests": 6, "limits": 10}
    for of, begin in SEEN.items():
        until(partial(prometheus.names, of, begin), of)
    until(lambda: prometheus.hosts() == 2, "two hosts that Prometheus reads")
    tell("Prometheus reads both, Spark and its executor", began)

    (bucket,) = [bucket for bucket, host in fetching.items() if host == f"{job}-1"]
    ended = goes(release, job)
    tell("a crawl pod is gone", began)
    assert "interrupted; run the same command again to continue where it stopped" in ended
    assert "Traceback" not in ended
    until(lambda: hosts(release).get(bucket) != f"{job}-1", "its bucket is not given back")
    tell("its bucket is free", began)
    scale(release, job, 2)
    until(lambda: f"{job}-1" in hosts(release).values(), "a new host does not fetch")
    tell("another crawl pod fetches", began)
    gate.touch()
    release.ends(job)
    tell("the night is complete", began)

    status = archive.status()
    assert status["nights"] == [str(day)]
    seen = archive.storage.list(Load.of_night(day).manifests)
    manifests = [Manifest.model_validate_json(archive.storage.read(entry.path)) for entry in seen]
    assert sorted(manifest.bucket for manifest in manifests) == list(range(BUCKETS))
    assert {manifest.host for manifest in manifests} == both
    visits = pipeline.open(archive.location, day, config=archive.config_path).arrow("visits")
    assert sorted((row["origin"], row["status"]) for row in visits.to_pylist()) == sorted((url, "full") for url in urls)


def begins_by_itself(release: Release) -> tuple[str, Any]:
    """Let the CronJob's time be a minute or two ahead, and wait; the Job's name and the night that it must be."""
    when = (datetime.now(UTC) + timedelta(seconds=110)).replace(second=0, microsecond=0)
    release.upgrade("--set", f"nightly.schedule={when.minute} {when.hour} {when.day} {when.month} *")
    assert datetime.now(UTC) < when, "the upgrade took too long"
    job = f"{release.name}-nightly-{int(when.timestamp()) // 60}"
    until(lambda: job in [made["metadata"]["name"] for made in release.namespace.get("jobs")["items"]], job)
    return job, when.date()


def scale(release: Release, job: str, to: int) -> None:
    """The command of docs/deploy.md."""
    release.namespace.kubectl(
        "patch", "job", job, "--type=merge", "-p", json.dumps({"spec": {"parallelism": to, "completions": to}})
    )


def hosts(release: Release) -> dict[str, str]:
    """Which host fetches which bucket now, as the luigid says."""
    query = urlencode({"data": json.dumps({"status": "RUNNING"})})
    where = f"/api/v1/namespaces/{release.namespace.name}/services/{release.name}-luigid:8082/proxy/api/task_list"
    running = json.loads(release.namespace.kubectl("get", "--raw", f"{where}?{query}"))["response"].values()
    return {
        task["params"]["bucket"]: re.search(r"host=([^,]+)", task["worker_running"]).group(1)
        for task in running
        if task["name"] == "Fetch"
    }


def goes(release: Release, job: str) -> str:
    """Take the second crawl pod away, which must end soon; what it said."""
    of = ["--selector", f"batch.kubernetes.io/job-name={job},batch.kubernetes.io/job-completion-index=1"]
    (pod,) = release.namespace.get("pods", *of)["items"]
    name = pod["metadata"]["name"]
    cluster = release.namespace.cluster
    words = [cluster.program("kubectl"), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={release.namespace.name}"]
    with subprocess.Popen([*words, "logs", "--follow", name], stdout=subprocess.PIPE, text=True) as log:
        scale(release, job, 1)
        release.namespace.kubectl("wait", "--for=delete", f"pod/{name}", f"--timeout={ENDS_WITHIN_S}s")
        return log.communicate(timeout=ENDS_WITHIN_S)[0]


def disk(namespace: Namespace, pod: str) -> dict[str, int]:
    """How many GiB a pod has of its node's disk."""
    (container,) = namespace.get("pod", pod)["spec"]["containers"]
    return {kind: int(container["resources"][kind]["ephemeral-storage"]) // GIB for kind in ("requests", "limits")}


def tell(what: str, began: float) -> None:
    """Print when something was seen, for who runs this with -s."""
    print(f"{time.monotonic() - began:6.1f} s: {what}")
