"""HDFS or the local disk fails during a night: it finishes or reports why not, and the next run completes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.errors import ExitCode
from tests.crash.conftest import Nights
from tests.e2e.archive import Archive, night
from tests.support.hdfs import Daemon, MiniHdfs
from tests.support.sample import of_the_day

pytestmark = [pytest.mark.slow, pytest.mark.hdfs, pytest.mark.spark, pytest.mark.timeout(1500)]

NIGHTLY = ("nightly", "--night", str(night(2)))
PAGE_BYTES = 4096
REFS = "publish: before the commit of refs"


@pytest.fixture(scope="module")
def patient(nights: Nights) -> Archive:
    """The archive with settings that wait until HDFS is back."""
    waits = {"attempts": 1000, "first_pause_s": 0.2, "give_up_after_s": 150}
    return nights.trial.archive.with_settings(hdfs=waits, luigi={"attempts": 9}, archive={"lease_s": 300})


@pytest.fixture(scope="module")
def hasty(nights: Nights) -> Archive:
    """The archive with settings that give up on a dead HDFS."""
    return nights.trial.archive.with_settings(hdfs={"attempts": 2, "first_pause_s": 0.2, "give_up_after_s": 5})


@contextmanager
def restarts(hdfs: MiniHdfs, daemon: Daemon) -> Iterator[Callable[[], None]]:
    """A function that kills and restarts the daemon; at the end it is running."""
    with ThreadPoolExecutor(1) as pool:
        starting: list[Future[Any]] = []

        def restart() -> None:
            hdfs.kill(daemon)
            starting.append(pool.submit(hdfs.start, daemon))

        yield restart
        assert len(starting) == 1, "nothing was restarted"
        starting[0].result()


@pytest.mark.parametrize("daemon", of_the_day(["namenode", "datanode"]))
def test_a_restart_while_a_pack_arrives_is_waited_for(
    nights: Nights, hdfs: MiniHdfs, patient: Archive, daemon: Daemon
) -> None:
    nights.trial.back_to("first")
    with restarts(hdfs, daemon) as restart:
        nights.before_pack.act = restart
        patient.run(*NIGHTLY)
    nights.check()


def test_a_restart_during_publish_is_waited_for(nights: Nights, hdfs: MiniHdfs, patient: Archive) -> None:
    trial = nights.trial
    trial.back_to("first")
    point = "publish: before the first move"
    with trial.start("hold", point, *NIGHTLY, today=night(2), archive=patient) as program:
        program.reach()
        hdfs.kill("namenode")
        try:
            program.go_on()
            program.says("no NameNode answers")
        finally:
            hdfs.start("namenode")
        code, said = program.end()
    assert code == ExitCode.DONE, said
    assert f"no NameNode answers at {hdfs.webhdfs_url}" in said
    nights.check()


def test_a_restart_before_a_commit_is_waited_for(nights: Nights, hdfs: MiniHdfs, patient: Archive) -> None:
    """Spark's own client does not wait; its step is retried once our storage answers."""
    trial = nights.trial
    trial.back_to("first")
    with trial.start("hold", REFS, *NIGHTLY, today=night(2), archive=patient) as program:
        program.reach()
        hdfs.kill("namenode")
        try:
            program.go_on()
            program.says("HDFS failed Spark: ")
        finally:
            hdfs.start("namenode")
        code, said = program.end()
    assert code == ExitCode.DONE, said
    nights.check()


DEATHS: dict[str, tuple[str, str]] = {
    "namenode": (REFS, "no NameNode answers at {url} (Connection refused)"),
    "datanode": ("derive: before the commit of files", "DataNode"),
}
"""Where the run is held while it dies, and what is said then."""


@pytest.mark.parametrize("daemon", of_the_day(DEATHS))
def test_a_death_in_the_middle_ends_the_run_and_the_next_one_goes_on(
    nights: Nights, hdfs: MiniHdfs, hasty: Archive, daemon: Daemon
) -> None:
    trial = nights.trial
    point, says = DEATHS[daemon]
    trial.back_to("first")
    with trial.start("hold", point, *NIGHTLY, today=night(2), archive=hasty) as program:
        program.reach()
        hdfs.kill(daemon)
        try:
            program.go_on()
            code, said = program.end()
        finally:
            hdfs.start(daemon)
    assert code == ExitCode.RUN_FAILED, said
    (told,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert says.format(url=hdfs.webhdfs_url) in told
    assert "Try again later" in told
    assert "java." not in told
    assert trial.archive.nightly(2)["already"] is False
    nights.check()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("pages", of_the_day(["0", "2"]), ids="{} pages left".format)
def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(nights: Nights, tmp_path: Path, pages: str) -> None:
    trial = nights.trial
    trial.back_to("first")
    with small_disk(tmp_path / "scratch") as scratch:
        archive = trial.archive.with_settings(fetch={"scratch": str(scratch / "runs")})
        ballast = scratch / "ballast"
        free = os.statvfs(scratch).f_bavail * os.statvfs(scratch).f_frsize
        ballast.write_bytes(bytes(free - int(pages) * PAGE_BYTES))
        said = archive.run(*NIGHTLY, code=ExitCode.RUN_FAILED).stderr
        told = said.splitlines()[-1]
        assert told.startswith("error: ")
        assert f"scratch cannot be written at {scratch}" in told
        assert "No space left on device" in told
        ballast.unlink()
        archive.run(*NIGHTLY)
        assert list((scratch / "runs").iterdir()) == []
    nights.check()
