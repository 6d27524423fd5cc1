"""Ctrl-C and SIGTERM at any moment: one line, the exit code of a shell, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.archive import PROGRAM_LIMIT_S, Archive, night
from tests.e2e.conftest import MakeArchive
from tests.support.repos import build_graph
from tests.support.sample import of_the_day
from tests.support.servers import Peer

GONE_S = 30
ENDLESS = "SELECT explode(sequence(1, 100000)) AS n FROM range(100000)"
STARTED = "SELECT explode(sequence(1, 100000)) AS n UNION ALL SELECT id FROM range(1000000000000) WHERE id < 0"
"""Gives its first rows at once, more than any buffer holds, and then works for hours."""
SAYS = "interrupted; run the same command again to continue where it stopped\n"
SLOW_JOB = """
import sys
import time


def slow(batches):
    for batch in batches:
        print("a batch", file=sys.stderr, flush=True)
        time.sleep(1000)
        yield batch


def main(archive):
    return archive.map_contents(slow, "content binary")
"""
COLLECTS = """
def main(archive):
    rows = archive.spark.range(1_000_000).selectExpr("id", "repeat('x', 1000) AS s").collect()
    return archive.spark.createDataFrame(rows)
"""
KILLS = """
import os
import signal

from pyspark import SparkContext


def main(archive):
    os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)
    return archive.table("blobs")
"""


@pytest.fixture(scope="module")
def archive(make_archive: MakeArchive, served: Path, daemon: Peer) -> Archive:
    build_graph(served / "stops.git", [[1], [2, 1]])
    made = make_archive("stops", nightly={"jobs": ["language_census"]})
    made.add(daemon.url("stops.git"))
    made.nightly(1)
    return made


def of_session(session: int) -> Iterator[tuple[int, str]]:
    """Ids and names of the processes of a session that still run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, rest = (entry / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            except OSError:
                continue
            state, _, _, its_session, *_ = rest.split()
            if int(its_session) == session and state not in "ZX":
                yield int(entry.name), name


def await_process(process: subprocess.Popen[str], is_it: Callable[[int, str], bool]) -> None:
    """Wait for a process of the program's session."""
    until = time.monotonic() + PROGRAM_LIMIT_S
    while not any(is_it(pid, name) for pid, name in of_session(process.pid)):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


def await_none(session: int) -> None:
    """Wait until what was killed in a session is gone."""
    until = time.monotonic() + GONE_S
    while left := list(of_session(session)):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def stop(process: subprocess.Popen[str], number: signal.Signals, *, terminal: bool = False) -> str:
    """Send a signal, as a terminal does to the whole group; return what was said on standard error since."""
    (os.killpg if terminal else os.kill)(process.pid, number)
    _, stderr = process.communicate(timeout=PROGRAM_LIMIT_S)
    assert process.returncode == 128 + number, stderr
    await_none(process.pid)
    return stderr


@pytest.mark.slow
@pytest.mark.parametrize("moment", of_the_day(["launcher", "java"]))
def test_while_spark_starts(archive: Archive, moment: str) -> None:
    with archive.start("sql", "SELECT 1") as process:
        await_process(process, lambda pid, name: pid != process.pid and (moment == "launcher" or name == moment))
        assert stop(process, signal.SIGINT, terminal=True) == SAYS


@pytest.mark.slow
@pytest.mark.parametrize("name", of_the_day(["SIGINT", "SIGTERM"]))
def test_while_a_query_runs(archive: Archive, name: str) -> None:
    with archive.start("sql", STARTED, "--output", "csv") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["n\n", "1\n"]
        assert stop(process, signal.Signals[name], terminal=name == "SIGINT") == SAYS


@pytest.mark.slow
def test_while_a_job_runs(archive: Archive, tmp_path: Path) -> None:
    job = tmp_path / "slow_job.py"
    job.write_text(SLOW_JOB)
    before = archive.sql("SELECT * FROM archive.results.language_census")
    with archive.start("submit", job) as process:
        assert process.stderr is not None
        assert any(line == "a batch\n" for line in iter(process.stderr.readline, ""))
        assert stop(process, signal.SIGTERM).splitlines()[-1:] == [SAYS.strip()]
    assert archive.sql("SELECT * FROM archive.results.language_census") == before
    assert archive.storage.list("results/slow_job") == []


@pytest.mark.slow
@pytest.mark.parametrize("how", of_the_day(["full", "killed"]))
def test_a_driver_without_memory(archive: Archive, tmp_path: Path, how: str) -> None:
    job = tmp_path / f"{how}_job.py"
    job.write_text({"full": COLLECTS, "killed": KILLS}[how])
    before = archive.sql("SELECT * FROM archive.results.language_census")
    small = archive.with_settings(spark={"driver_memory": "600m"})
    with small.start("submit", job) as process:
        _, stderr = process.communicate(timeout=PROGRAM_LIMIT_S)
        assert process.returncode == 5, stderr
        await_none(process.pid)
    (said,) = (line for line in stderr.splitlines() if "INFO" not in line)
    assert "spark.driver_memory" in said
    assert "heap of 600m" in said
    assert f"It was at {job}, line " in said
    assert archive.sql("SELECT * FROM archive.results.language_census") == before
    assert archive.storage.list(f"results/{how}_job") == []


@pytest.mark.slow
def test_a_job_for_which_python_has_no_memory(archive: Archive, tmp_path: Path) -> None:
    job = tmp_path / "large_job.py"
    job.write_text("def main(archive):\n    return bytearray(1 << 60)\n")
    said = archive.run("submit", job, code=5).stderr
    assert "the driver ran out of memory. Python has no memory left. Let fewer rows come to the driver" in said
    assert "spark.driver.memoryOverhead" in said
    assert f"It was at {job}, line 2, in main" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", of_the_day(["SIGINT", "SIGTERM"]))
def test_a_shell(archive: Archive, name: str) -> None:
    prepared = (
        "import threading, time\nspark.range(3).count()\n"
        "def told():\n    while not spark.sparkContext.statusTracker().getActiveJobsIds(): time.sleep(0.01)\n"
        "    print('ready', flush=True)\n\n"
    )
    running = f"threading.Thread(target=told, daemon=True).start(); spark.sql('{ENDLESS}').count()\n"
    planned = f"print('ready', flush=True); spark.sql('{ENDLESS}').count()\n"
    with archive.start("shell", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(prepared)
        for query in (running, planned) if name == "SIGINT" else (running,):
            process.stdin.write(query)
            process.stdin.flush()
            assert any("ready" in line for line in iter(process.stdout.readline, ""))
            if name == "SIGINT":
                os.kill(process.pid, signal.SIGINT)  # ends the query, which else keeps both threads, not the shell
                process.stdin.write("print('rows', commits.count(), flush=True)\n")
                process.stdin.flush()
                assert any("rows 2" in line for line in iter(process.stdout.readline, ""))
        assert "Py4J" not in stop(process, signal.SIGTERM)


@pytest.mark.slow
def test_a_backfill_can_be_taken_up_again(archive: Archive) -> None:
    words = ("backfill", "job", "commit_activity", "--from", str(night(1)), "--to", str(night(1)))
    with archive.start(*words) as process:
        await_process(process, lambda pid, name: name == "java")
        assert SAYS in stop(process, signal.SIGTERM)
    assert archive.storage.stat("lease.json") is None
    archive.run(*words)
    assert archive.sql("SELECT * FROM archive.results.commit_activity") != []
