"""What is asked of a master, in words and in bytes; what ends an application."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from pipeline.model.errors import ExitCode
from pipeline.rules.cluster import GIB, MIB
from pipeline.rules.offer import Node, Offer
from pipeline.tables.masters import master, project
from pipeline.tables.masters.application import failure
from pipeline.tables.masters.errors import ApplicationFailed, NoResources
from pipeline.tables.masters.known import asked_for, bytes_of, driver_asked_for
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.project import project_archive
from pipeline.tables.masters.standalone import _last_words
from pipeline.tables.masters.yarn import Report


@pytest.mark.parametrize(("text", "size"), [("2g", 2 * GIB), ("768m", 768 * MIB), ("384", 384 * MIB), ("1024k", MIB)])
def test_sizes_as_spark_writes_them(text: str, size: int) -> None:
    assert bytes_of(text) == size


def test_what_is_asked_for_is_told() -> None:
    conf = {
        "spark.executor.instances": "2", "spark.executor.cores": "1", "spark.executor.memory": "1280m",
        "spark.executor.memoryOverhead": "640m", "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "128m", "spark.driver.memory": "1g",
    }  # fmt: skip
    executors = "2 executors with 1 core, 1280m of heap, 640m beside it, 128m off the heap each"
    assert asked_for(conf) == executors
    assert driver_asked_for(conf) == f"a driver with 1 core and 1.4 GiB, and then {executors}"


class Starting(Master):
    """A cluster whose first node registers when the master is asked for the third time; or never."""

    def __init__(self, nodes: int, wait_s: float) -> None:
        super().__init__("spark://here", "a core", wait_s)
        self.offers = [Offer(())] * 2 + [Offer((Node(1, GIB, 1, GIB),) * nodes)]

    def offer(self) -> Offer:
        return self.offers.pop(0) if len(self.offers) > 1 else self.offers[0]


def test_a_first_node_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "POLL_S", 0)
    offer = Starting(1, wait_s=60).first_offer()
    assert offer is not None
    assert len(offer.nodes) == 1
    with pytest.raises(NoResources, match=r"Asked for: a core\. It has: there are no nodes"):
        Starting(0, wait_s=0).first_offer()
    assert Master("k8s://here", "a core", 0).first_offer() is None, "it does not say"


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("Application application_1_0001 failed: User application exited with status 2", ExitCode.USAGE),
        ("User application exited with 3", ExitCode.CHECK_FAILED),
        ("User application exited with 137", ExitCode.RUN_FAILED),
        ("Container is running beyond physical memory limits", ExitCode.RUN_FAILED),
        ("", ExitCode.RUN_FAILED),
    ],
)
def test_the_drivers_exit_code_is_the_submitters(told: str, code: ExitCode) -> None:
    error = failure("application_1_0001", Report("FINISHED", "FAILED", told, ""))
    assert error.exit_code is code
    assert (told or "YARN says FINISHED, FAILED") in str(error)
    assert "yarn logs -applicationId application_1_0001" in str(error)


@pytest.mark.parametrize("code", [3, -104])
def test_a_driver_in_yarn_without_memory_is_told_so(code: int) -> None:
    """A full heap is no damaged file, whose exit code is 3 too."""
    told = f"Application a failed 1 times due to AM Container for appattempt_1 exited with  exitCode: {code}\nFailing"
    error = failure("application_1_0001", Report("FAILED", "FAILED", told, ""))
    assert error.exit_code is ExitCode.RUN_FAILED
    assert "the driver ran out of memory: let fewer rows come to it, or raise spark.driver_memory" in str(error)
    assert told.partition("\n")[0] in str(error)


@pytest.mark.parametrize(
    "told",
    [
        "Application a failed 1 times due to AM Container for appattempt_1 exited with  exitCode: 137\nFailing",
        "User application exited with status 137",
    ],
)
def test_a_killed_driver_in_yarn_is_told_so(told: str) -> None:
    error = failure("application_1_0001", Report("FAILED", "FAILED", told, ""))
    assert error.exit_code is ExitCode.RUN_FAILED
    assert "the driver was killed, as by a node that has no memory left: " in str(error)
    assert "or lower spark.driver_memory. YARN says: " in str(error)


@pytest.mark.parametrize("code", [0, 1])
def test_a_driver_that_did_not_choose_its_code_is_a_failed_run(code: int) -> None:
    assert ApplicationFailed("a", "r", code).exit_code is ExitCode.RUN_FAILED


def test_the_project_is_shipped_whole() -> None:
    with zipfile.ZipFile(project_archive()) as archive:
        names = set(archive.namelist())
    assert {"pipeline/__init__.py", "pipeline/tables/python_daemon.py", "jobs/language_census.py"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_files_from_before_zips_first_year_are_shipped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/__init__.py").touch()
    os.utime(tmp_path / "old/__init__.py", (1, 1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(project, "PACKAGES", ("old",))
    monkeypatch.setattr(project, "kept_folder", lambda: tmp_path)
    with zipfile.ZipFile(project_archive.__wrapped__()) as archive:
        assert archive.namelist() == ["old/__init__.py"]


def test_last_words_are_those_of_the_executor() -> None:
    log = (
        "==== Bytes 0-10 of 10 of /work/stderr ====\nSpark Executor Command: java\n" + "=" * 20 + "\n\n"
        "Unrecognized VM option 'NoSuchFlag'\nError: Could not create the Java Virtual Machine.\n"
    )
    assert _last_words(log) == "Unrecognized VM option 'NoSuchFlag'; Error: Could not create the Java Virtual Machine."
    assert _last_words("") == ""
