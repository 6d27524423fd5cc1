"""The same job wherever people run Spark: in this process, on a standalone cluster, in YARN with its driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipeline.rules.cluster import MIB
from pipeline.storage.factory import open_storage
from tests.e2e.archive import Archive
from tests.masters.conftest import said_by
from tests.support.libraries import requirements, wheel
from tests.support.spark import COMPILE, UNCOMPILED
from tests.support.standalone import SparkCluster, spark_cluster
from tests.support.yarn import MiniYarn

pytestmark = [pytest.mark.spark, pytest.mark.hdfs, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
JOB = "language_census"
LIMIT_S = 500
BROUGHT = """
from brought import same
from jobs import language_census


def through(batches):
    for batch in batches:
        yield same(batch)


def main(archive):
    rows = language_census.main(archive, [])
    return rows.mapInArrow(through, rows.schema)
"""
SMALL = {"driver_memory": "768m", "java_options": COMPILE, "wait_s": 300}
HERE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def on_yarn(archive: Archive, yarn: MiniYarn, conf: dict[str, str] | None = None, **spark: Any) -> Archive:
    """The archive for a submitter whose drivers run in YARN, which has room for one executor of one core."""
    spark = SMALL | {"master": "yarn", "deploy_mode": "cluster", "hadoop_conf": str(yarn.conf)} | spark
    cluster = {"threads": 2, "memory_bytes": 24 << 30}
    return archive.with_settings(spark=spark, spark__cluster=cluster, spark__conf=UNCOMPILED | (conf or {}))


def on_workers(archive: Archive, cluster: SparkCluster, conf: dict[str, str] | None = None, **spark: Any) -> Archive:
    """The archive for drivers that use a standalone cluster and were told of two threads."""
    return archive.with_settings(
        spark=SMALL | {"master": cluster.url} | spark,
        spark__cluster={"threads": 2, "memory_bytes": 24 << 30},
        spark__conf=UNCOMPILED | HERE | (conf or {}),
    )


def as_client(archive: Archive, job: Path, asked: Path) -> Any:
    """What a driver in a process of its own reports."""
    command = [sys.executable, "-m", "tests.masters.as_client", *map(str, (archive.config_path, job, asked))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "application app-" in done.stderr, done.stderr
    return json.loads(done.stdout)


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr({**row, "night": None}) for row in rows)


def test_the_same_rows_everywhere(archive: Archive, yarn: MiniYarn, tmp_path: Path) -> None:
    rows = archive.ask("submit", JOB)
    assert sum(row["files"] for row in rows) > 0

    # Elsewhere the rows go through Python workers with a package that only a requirements file brings.
    wheel(tmp_path / "wheels", "brought", "1.0", "def same(batch):\n    return batch\n")
    asked = requirements(tmp_path / "requirements.txt", tmp_path / "wheels", "brought")
    job = tmp_path / "brought_census.py"
    job.write_text(BROUGHT)
    stdout, stderr = said_by(on_yarn(archive, yarn), "submit", job, "--requirements", asked, "--output", "json", code=0)
    assert in_order(json.loads(stdout)) == in_order(rows)
    assert "submitted application application_" in stderr
    assert "its page: http://" in stderr

    with spark_cluster(tmp_path / "spark", (1, "2g"), (1, "2g")) as cluster:
        told = as_client(on_workers(archive, cluster), job, asked)
    assert in_order(told["rows"]) == in_order(rows)
    # Two workers of one core, where two threads ask for an executor of two.
    assert (told["conf"]["spark.executor.cores"], told["conf"]["spark.executor.instances"]) == ("1", "2")
    heap = int(told["conf"]["spark.executor.memory"].removesuffix("m")) * MIB
    assert 1 << 30 <= heap < 2 << 30
    assert all("git-lakehouse.zip/pipeline" in path for path in told["paths"])


def test_a_driver_in_yarn_that_fails_says_why(archive: Archive, yarn: MiniYarn) -> None:
    _, stderr = said_by(on_yarn(archive, yarn), "submit", JOB, "--", "surplus", code=2)
    assert "language_census takes no arguments, but was given surplus" in stderr
    assert "Cannot call methods on a stopped SparkContext" not in stderr


@pytest.mark.long
def test_an_interrupted_submit_leaves_nothing_in_yarn(archive: Archive, yarn: MiniYarn) -> None:
    with on_yarn(archive, yarn).start("submit", JOB) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if "submitted application" in line:
                break
        else:
            raise AssertionError("".join(said))
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert apps_alive(yarn) == []
    users = open_storage(f"{yarn.hdfs_uri}/user", archive.config.hdfs)
    assert [entry.path for entry in users.walk() if ".sparkStaging/" in entry.path] == []


def apps_alive(yarn: MiniYarn) -> list[str]:
    states = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
    with urllib.request.urlopen(f"{yarn.url}/ws/v1/cluster/apps?states={states}", timeout=60) as answer:
        found = json.load(answer)["apps"] or {"app": []}
    return [app["id"] for app in found["app"]]


def test_a_wait_for_resources_is_told_and_ends(archive: Archive, tmp_path: Path) -> None:
    with spark_cluster(tmp_path / "spark", (1, "2g")) as cluster:
        asks_for_more = {"spark.executor.cores": "2", "spark.executor.memory": "1g"}
        waiting = on_workers(archive, cluster, asks_for_more, wait_s=2)
        _, stderr = said_by(waiting, "sql", "SELECT 1", code=5)
    asked = "with 2 cores, 1g of heap"
    has = "It has: nodes: 1, cores: 1 (1 free), memory: 2.0 GiB (2.0 GiB free"
    first, last = stderr.index("waiting for resources of spark://"), stderr.index("gave no resources within 2 s")
    for told in (stderr[first:last], stderr[last:]):
        assert asked in told
        assert has in told


def test_executors_that_die_at_once_end_the_job_with_their_reason(archive: Archive, tmp_path: Path) -> None:
    with spark_cluster(tmp_path / "spark", (1, "2g")) as cluster:
        broken = on_workers(archive, cluster, {"spark.executor.extraJavaOptions": "-agentlib:no-such-agent"})
        _, stderr = said_by(broken, "submit", JOB, code=5)
    assert "end as soon as they start: " in stderr
    assert "Cannot call methods on a stopped SparkContext" not in stderr
