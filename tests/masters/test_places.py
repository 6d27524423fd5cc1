"""The same job wherever people run Spark: in this process, on a standalone cluster, in YARN with its driver."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.rules.cluster import MIB
from pipeline.storage.factory import open_storage
from tests.e2e.archive import Archive
from tests.masters.conftest import said_by
from tests.support.libraries import requirements, wheel
from tests.support.sample import of_the_day
from tests.support.sessions import command_of, in_session
from tests.support.spark import COMPILE, UNCOMPILED
from tests.support.standalone import SparkCluster, spark_cluster
from tests.support.until import until
from tests.support.yarn import MiniYarn

pytestmark = [pytest.mark.spark, pytest.mark.hdfs, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
JOB = "language_census"
LIMIT_S = 500
SAYS = "interrupted; run the same command again to continue where it stopped"
BROUGHT = """
from brought import same
from jobs import language_census


def through(batches):
    for batch in batches:
        yield same(batch)


def main(archive):
    rows = language_census.main(archive, [])
    counted = archive.sql(
        "SELECT language(f.path, c.content) AS language, count(DISTINCT c.oid) AS files "
        "FROM files f JOIN contents c USING (bucket, network, oid) GROUP BY 1"
    )
    same_count = rows.language.eqNullSafe(counted.language) & (rows.files == counted.files)
    return rows.join(counted, same_count, "left_semi").mapInArrow(through, rows.schema)
"""
"""The census through workers with a package that only a requirements file brings, as far as SQL functions agree."""
STOPPED = """
import os
import time
from pathlib import Path

FOLDER = Path({folder!r})


def held(batches):
    for batch in batches:
        (FOLDER / "at-work" / str(os.getpid())).touch()
        while not (FOLDER / "go").exists():
            time.sleep(0.05)
        yield batch.select(["content"])


def main(archive):
    print(archive.map_contents(held, "content binary").count(), "contents", flush=True)
    archive.spark.range(1_000_000).selectExpr("id", "repeat('x', 1000) AS s").collect()
"""
"""A job whose worker waits, and whose driver then takes more than its heap."""
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


@pytest.fixture(scope="module")
def census(archive: Archive) -> list[dict[str, Any]]:
    """The stored census."""
    rows: list[dict[str, Any]] = archive.ask("submit", JOB)
    assert sum(row["files"] for row in rows) > 0
    return rows


def test_the_same_rows_everywhere(
    archive: Archive, yarn: MiniYarn, census: list[dict[str, Any]], tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels", "brought", "1.0", "def same(batch):\n    return batch\n")
    asked = requirements(tmp_path / "requirements.txt", tmp_path / "wheels", "brought")
    job = tmp_path / "brought_census.py"
    job.write_text(BROUGHT)
    stdout, stderr = said_by(on_yarn(archive, yarn), "submit", job, "--requirements", asked, "--output", "json", code=0)
    assert in_order(json.loads(stdout)) == in_order(census)
    assert "submitted application application_" in stderr
    assert "its page: http://" in stderr

    with spark_cluster(tmp_path / "spark", (1, "2g"), (1, "2g")) as cluster:
        told = as_client(on_workers(archive, cluster), job, asked)
    assert in_order(told["rows"]) == in_order(census)
    # Two workers of one core, where two threads ask for an executor of two.
    assert (told["conf"]["spark.executor.cores"], told["conf"]["spark.executor.instances"]) == ("1", "2")
    heap = int(told["conf"]["spark.executor.memory"].removesuffix("m")) * MIB
    assert 1 << 30 <= heap < 2 << 30
    assert all("git-lakehouse.zip/pipeline" in path for path in told["paths"])


def test_a_driver_in_yarn_that_fails_says_why(archive: Archive, yarn: MiniYarn) -> None:
    _, stderr = said_by(on_yarn(archive, yarn), "submit", JOB, "--", "surplus", code=2)
    assert "language_census takes no arguments, but was given surplus" in stderr
    assert "Cannot call methods on a stopped SparkContext" not in stderr


class Held:
    """A job of the stored census's name, whose worker waits until it may go on."""

    def __init__(self, folder: Path) -> None:
        self.job = folder / f"{JOB}.py"
        self.job.write_text(STOPPED.format(folder=str(folder)))
        self._at_work, self._go = folder / "at-work", folder / "go"
        self._at_work.mkdir()

    def worker(self, process: subprocess.Popen[str]) -> int:
        """The Python worker that has begun; the command must be running until then."""

        def found() -> list[Path]:
            assert process.poll() is None, "".join(process.communicate())
            return list(self._at_work.iterdir())

        return int(until(found, "no task began", limit_s=LIMIT_S)[0].name)

    def kill_executor(self, process: subprocess.Popen[str]) -> None:
        """Kill the executor that waits, and let others go on."""
        pid = self.worker(process)
        while b"CoarseGrainedExecutorBackend" not in command_of(pid):
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(pid, signal.SIGKILL)
        self._go.touch()


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


@contextmanager
def a_place(name: str, archive: Archive, yarn: MiniYarn, folder: Path) -> Iterator[tuple[Archive, Callable[[], Any]]]:
    """The archive for submits in a place, and what finds all that still runs or lies there because of them."""
    if name == "yarn":
        users = open_storage(f"{yarn.hdfs_uri}/user", archive.config.hdfs)

        def left() -> Any:
            staged = [entry.path for entry in users.walk() if ".sparkStaging/" in entry.path]
            return [*apps_alive(yarn), *staged, *yarn.containers()]

        yield on_yarn(archive, yarn), left
        return
    with spark_cluster(folder, (1, "2g"), (1, "2g")) as cluster:
        workers = cluster.workers().values()
        yield (
            on_workers(archive, cluster),
            lambda: [pid for worker in workers for pid in in_session(worker.pid) if pid != worker.pid],
        )


def results(archive: Archive) -> list[tuple[str, int]]:
    """Every file of results."""
    folders = ("results", "tables/results")
    return sorted((entry.path, entry.size_bytes) for folder in folders for entry in archive.storage.walk(folder))


def ends(process: subprocess.Popen[str], code: int, left: Callable[[], Any]) -> list[str]:
    """Wait for the end of a command and of all that belongs to it; return the lines that it said, but for its log."""
    stdout, stderr = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, stderr
    for found in (left, partial(in_session, process.pid)):
        until(lambda: not found(), "something was left", limit_s=LIMIT_S)  # noqa: B023 - called here
    return [line for line in f"{stdout}{stderr}".splitlines() if not re.search(" (INFO|WARNING) ", line)]


PLACES = of_the_day(["standalone", "yarn"])


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", of_the_day([signal.SIGINT, signal.SIGTERM]))
def test_a_stop_leaves_nothing(
    archive: Archive, yarn: MiniYarn, census: list[Any], held: Held, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    before = results(archive)
    with a_place(place, archive, yarn, tmp_path / "spark") as (here, left), here.start("submit", held.job) as process:
        held.worker(process)
        os.kill(process.pid, number)
        assert ends(process, 128 + number, left) == [SAYS]
    assert results(archive) == before


@pytest.mark.parametrize("place", PLACES)
def test_a_job_outlives_an_executor_and_ends_with_its_drivers_memory(
    archive: Archive, yarn: MiniYarn, census: list[Any], held: Held, tmp_path: Path, place: str
) -> None:
    before = results(archive)
    with a_place(place, archive, yarn, tmp_path / "spark") as (here, left), here.start("submit", held.job) as process:
        held.kill_executor(process)
        said = ends(process, 5, left)
    assert "3 contents" in said
    (told,) = (line for line in said if "memory" in line.lower())
    assert told == said[-1]
    assert re.search("^error: .*the driver ran out of memory: .*spark.driver_memory", told)
    assert results(archive) == before


@pytest.mark.long
def test_an_interrupted_submit_leaves_nothing_in_yarn(archive: Archive, yarn: MiniYarn, tmp_path: Path) -> None:
    """Before the driver starts."""
    with a_place("yarn", archive, yarn, tmp_path) as (here, left), here.start("submit", JOB) as process:
        assert process.stderr is not None
        assert any("submitted application" in line for line in process.stderr)
        os.kill(process.pid, signal.SIGINT)
        assert ends(process, 130, left) == [SAYS]


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
