"""Nights by the chart on the node of ``scripts/kubernetes``, in pods of the image of ``scripts/image``.

The archive is on a real HDFS, the origins on a git daemon, both of this machine. Two crawl pods fetch, the driver is in
one of them, the executor is a pod. In the first night a crawl pod, the executor and the leader's pod die, and the
release is upgraded. Beside it another release makes an archive of the same origins in peace, in one pod.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.model.tables import ALL
from tests.deploy.release import CREW, EXECUTOR, Release, hdfs, image, served, server, until, values
from tests.e2e.archive import Archive, Place, night
from tests.support.hdfs import MiniHdfs
from tests.support.kubernetes import Namespace, cluster, namespace
from tests.support.repos import add_commits, compare, fork_of, many_small
from tests.support.sockets import Peer
from tests.workflows.conftest import spread
from tests.workflows.test_hosts import WHEN

__all__ = ["cluster", "hdfs", "image", "namespace", "served", "server"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.hdfs, pytest.mark.timeout(3600)]

BUCKETS = 4
JOB = "language_census"
LEASE_S = 20


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
