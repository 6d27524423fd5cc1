"""A night, a compaction and a job on a cluster that loses a crawl host, a DataNode and a worker on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.archive import Archive, Place, night
from tests.support.hdfs import MiniHdfs
from tests.support.repos import add_commits, build_graph
from tests.support.servers import Peer
from tests.support.spark import COMPILE, UNCOMPILED
from tests.support.standalone import SparkCluster, spark_cluster
from tests.workflows.conftest import spread
from tests.workflows.gate import gated
from tests.workflows.hosts import Host
from tests.workflows.luigid import luigid
from tests.workflows.test_hosts import hosts_of, same

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.hdfs]

JOB = "language_census"
ON_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def host_on(archive: Archive, name: str, scheduler: str, cluster: SparkCluster) -> Host:
    return Host.of(
        archive,
        name,
        luigi={"scheduler": scheduler},
        spark={"master": cluster.url, "driver_memory": "1g", "java_options": COMPILE},
        spark__cluster={"threads": 2, "memory_bytes": 24 << 30},
        spark__conf=UNCOMPILED | ON_LOOPBACK,
    )


def test_a_night_survives_what_it_loses(served: Path, daemon: Peer, tmp_path: Path, one_spark: None) -> None:
    for number in range(40):
        build_graph(served / f"r{number}.git", [[1], [2, 1]])
        add_commits(served / f"r{number}.git", 1, label=f"r{number}")
    hdfs = MiniHdfs(tmp_path / "hdfs", datanodes=3)
    try:
        with (
            gated(daemon) as (server, gate),
            luigid(tmp_path / "luigid", worker_disconnect_delay=6, retry_delay=1) as scheduler,
            spark_cluster(tmp_path / "spark", (1, "3g"), (1, "3g")) as cluster,
        ):
            place = Place("hdfs", hdfs.hdfs_uri, {"webhdfs_urls": [hdfs.webhdfs_url]})
            settings = {"archive": {"buckets": 4, "lease_s": 20}, "fetch": {"concurrency": 1}}
            calm, archive = (Archive.at(place, tmp_path / name, name, **settings) for name in ("calm", "archive"))
            for each in (calm, archive):
                each.init()
                each.add(*spread(server, sorted(served.glob("*.git")), 4))
            a, b = (host_on(archive, name, scheduler.address, cluster) for name in ("host-a", "host-b"))

            with a.starts("nightly", "--night", str(night(1))) as leader:
                gate.wait_for(1)  # the plan is made, by executors of both workers
                with b.starts("nightly", "--night", str(night(1))) as helper:
                    _, second = gate.wait_for(2)
                    gate.let_in(second)
                    gate.wait_for(3)
                    helper.kill()
                hdfs.kill("datanode-2")
                cluster.kill_worker()
                gate.open()
                leader.ends(0)
            assert set(hosts_of(archive, 1).values()) == {"host-a", "host-b"}
            calm.nightly(1)
            same(archive, calm, 1)

            with a.starts("compact", "--budget", "1GB") as compaction:
                compaction.ends(0)
            with a.starts("submit", JOB) as job:
                job.ends(0)
            same(archive, calm, 1)
            rows = calm.ask("submit", JOB)
            assert archive.ask("submit", JOB) == rows
            assert sum(row["files"] for row in rows) > 0
    finally:
        hdfs.wipe()
