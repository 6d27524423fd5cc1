"""A night, a compaction and a job on two crawl hosts, three DataNodes and two workers of Spark, which die on the way.

All are real processes. Each dies by SIGKILL, at an event: a DataNode while it receives a file, a host while it visits
an origin, a worker while one of its executors runs a task. The archive then equals one that was made in peace.
"""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.model.tables import ALL
from tests.e2e.archive import Archive, Place, night
from tests.support.hdfs import Daemon, MiniHdfs
from tests.support.repos import add_commits, compare, fork_of, many_small, put, put_commit, put_tree, set_refs
from tests.support.servers import git_daemon
from tests.support.sockets import LOOPBACK
from tests.support.spark import COMPILE, UNCOMPILED
from tests.support.standalone import SparkCluster, spark_cluster
from tests.support.until import until
from tests.workflows.conftest import spread
from tests.workflows.gate import gated
from tests.workflows.hosts import Host, Running
from tests.workflows.luigid import Luigid, luigid
from tests.workflows.test_hosts import WHEN, hosts_of

pytestmark = [pytest.mark.spark, pytest.mark.hdfs, pytest.mark.long, pytest.mark.timeout(1500)]

BUCKETS = 4
JOB = "language_census"
NIGHT = ("nightly", "--night", str(night(1)))
DATANODES: tuple[Daemon, ...] = ("datanode", "datanode-2", "datanode-3")
ATTEMPTS = 8  # until the NameNode no longer sends anybody to a dead DataNode
LIMIT_S = 300
AT_ONCE_S = 0.005
"""Between two looks for a moment that is soon over."""
WAIT_S = 30
BECAME = " bytes became "
SLOW_BYTES = 8 << 20


@pytest.fixture
def three_datanodes(tmp_path: Path) -> Iterator[MiniHdfs]:
    cluster = MiniHdfs(tmp_path / "hdfs", datanodes=3)
    yield cluster
    cluster.wipe()


def test_what_dies_leaves_no_trace(three_datanodes: MiniHdfs, one_spark: None, tmp_path: Path) -> None:
    hdfs, served = three_datanodes, tmp_path / "served"
    served.mkdir()
    place = Place("hdfs", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url], "attempts": ATTEMPTS})
    settings = {"archive": {"buckets": BUCKETS, "lease_s": 8}, "fetch": {"concurrency": 1}}
    calm, archive = (Archive.at(place, tmp_path / name, name, **settings) for name in ("calm", "archive"))
    with (
        git_daemon(served) as daemon,
        gated(daemon, lambda name, nth: False) as (server, gate),
        luigid(tmp_path / "luigid", worker_disconnect_delay=6, retry_delay=1) as scheduler,
        spark_cluster(tmp_path / "spark", (1, "2g"), (1, "2g")) as cluster,
    ):
        urls = spread(server, many_small(served, 40), BUCKETS, each=2)
        for url in urls:
            grow(served / url.rpartition("/")[2])
        fork_of(served / urls[0].rpartition("/")[2], served / "fork.git")
        forked = server.url("fork.git"), urls[0]
        for each in (calm, archive):
            each.init()
            each.add(*urls, forked)
        calm.nightly(1)

        gate.close()
        a, b = (host_on(cluster, archive, name, scheduler) for name in ("host-a", "host-b"))
        with a.starts(*NIGHT) as leader:
            (first,) = gate.wait_for(1)
            with b.starts(*NIGHT) as helper:
                gate.wait_for(2)
                for repo in served.iterdir():
                    if repo.name != first:
                        gate.let_in(repo.name)
                lost = kill_receiver(hdfs, "/archive/.*/landing/.*contents")
                before = len(gate.came)
                gate.wait(lambda came: len(came) > before)
                leader.kill()
                gate.open()
                kill_busy(cluster, helper, lambda: "Derive" in scheduler.tasks("RUNNING").values())
                said = helper.ends(0)
        assert "took over lease.json" in said
        assert set(hosts_of(archive, 1).values()) == {"host-b"}
        same(archive, calm)

        compacted = calm.run("compact").stderr.count(BECAME)
        cluster.add_worker(1, "2g")
        with b.starts("compact") as compacting:
            kill_compacting(cluster, compacting)
            said = compacting.ends(0)
        assert said.count(BECAME) == compacted >= BUCKETS
        same(archive, calm)

        calm.ask("submit", JOB)
        with host_on(cluster, archive, "host-c", scheduler, wait_s=WAIT_S).starts("submit", JOB) as alone:
            kill_busy(cluster, alone, lambda: True)
            said = alone.ends(5)
        assert "waiting for resources of spark://" in said
        assert f"gave no resources within {WAIT_S} s" in said

        for _ in range(2):
            cluster.add_worker(1, "2g")
        with b.starts("submit", JOB) as submitted:
            kill_busy(cluster, submitted, lambda: True)
            submitted.ends(0)
        assert results(archive) == results(calm)

        hdfs.start(lost)
        archive.ask("fsck", "--deep")
        for url in [*urls, forked[0]]:
            name = url.rpartition("/")[2]
            assert compare(served / name, archive.restore(url, tmp_path / f"restored-{name}")) == []


def grow(repo: Path) -> None:
    """Add some history, and a file that takes a while to send."""
    add_commits(repo, 2, label=repo.stem)
    blob = put(repo, "blob", Random(repo.stem).randbytes(SLOW_BYTES))
    tip = put_commit(repo, put_tree(repo, ("100644", "slow.bin", blob)), message=b"A large file\n")
    set_refs(repo, {b"refs/heads/slow": tip})


def host_on(cluster: SparkCluster, archive: Archive, name: str, scheduler: Luigid, wait_s: float = LIMIT_S) -> Host:
    """A host whose Spark has executors of one core and a GiB on all workers."""
    return Host.of(
        archive,
        name,
        luigi={"scheduler": scheduler.address},
        spark={"master": cluster.url, "driver_memory": "1g", "java_options": COMPILE, "wait_s": wait_s},
        spark__cluster={"threads": 2, "memory_bytes": 24 << 30},
        spark__conf=UNCOMPILED | {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK},
    )


def kill_receiver(hdfs: MiniHdfs, path: str) -> Daemon:
    """Kill the DataNode through which a file comes, as soon as the NameNode has given that file a block."""
    allocated = re.compile(rf"allocate blk_\S+, replicas={LOOPBACK}:(\d+).* for .*{path}")

    def found() -> str:
        (port, *_) = [*allocated.findall(hdfs.log("namenode").read_text()), ""]
        return port

    port = until(found, "no such file came", pause_s=AT_ONCE_S)
    datanode = next(name for name in DATANODES if hdfs.port(name, "data") == int(port))
    os.kill(hdfs.pid(datanode), signal.SIGKILL)
    return datanode


def kill_busy(cluster: SparkCluster, running: Running, when: Callable[[], bool]) -> None:
    """Kill a worker while an executor of it runs a task of this command."""

    def found() -> int | None:
        named = re.search(r"application (\S+) on \S+, its page: (\S+)", running.log.read_text())
        assert running.process.poll() is None, running.log.read_text()
        if named is None or not when():
            return None
        application, page = named.groups()
        with urllib.request.urlopen(f"{page}/api/v1/applications/{application}/executors", timeout=30) as answer:
            busy = [one["id"] for one in json.load(answer) if one["id"] != "driver" and one["activeTasks"]]
        return next((cluster.worker_of(application, executor) for executor in busy), None)

    cluster.kill_worker(until(found, "no executor ran a task", pause_s=AT_ONCE_S))


def kill_compacting(cluster: SparkCluster, running: Running) -> None:
    """Kill a worker while its executor rewrites a piece: that has a folder for it."""

    def found() -> int | None:
        assert running.process.poll() is None, running.log.read_text()
        return next((number for number in cluster.workers() if has_piece(cluster.scratch(number))), None)

    def has_piece(scratch: Path) -> bool:
        return any(name.startswith("fetch-compact-") for _, names, _ in os.walk(scratch) for name in names)

    cluster.kill_worker(until(found, "no piece was rewritten", pause_s=AT_ONCE_S))


def same(archive: Archive, calm: Archive) -> None:
    """Compare every table row for row; a doubled object would be two rows."""
    for table in ALL:
        assert archive.rows(table.name, 1, without=WHEN) == calm.rows(table.name, 1, without=WHEN), table.name
        assert now(archive, table.name) == now(calm, table.name), table.name


def now(archive: Archive, table: str) -> list[str]:
    """All rows of a table as it is now, whatever nights there are."""
    name = f"archive.code.{table}"
    archive.spark.catalog.refreshTable(name)
    found = archive.spark.table(name).drop(*WHEN).toArrow().to_pylist()
    return sorted(repr(sorted(row.items())) for row in found)


def results(archive: Archive) -> list[str]:
    return sorted(map(repr, archive.spark.table(f"archive.results.{JOB}").collect()))
