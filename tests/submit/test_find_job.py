"""Jobs are found by reading, and a broken one breaks only itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs
from pipeline.read.submit.find_job import JobFailed, NoSuchJob, find_job, job_names, job_source, list_jobs
from pipeline.tables.masters.project import project_archive

SHIPPED = (
    "commit_activity", "dependencies", "language_census", "licences", "near_duplicates", "secrets", "truck_factor",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(jobs, "__path__", [*jobs.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("jobs."):
            del sys.modules[name]


def test_every_job_is_listed_and_no_helper(folder: Path) -> None:
    (folder / "fine.py").write_text('"""Counts.\n\nMore."""\n\ndef main(archive, argv): ...\n')
    (folder / "without_words.py").write_text("from elsewhere import count as main\n")
    (folder / "helper.py").write_text('"""Helps."""\ndef helps(): ...\n')
    (folder / "_private.py").write_text("def main(archive, argv): ...\n")
    (folder / "broken.py").write_text("def main(archive, argv:\n")
    found = {job.name: job.description for job in list_jobs()}
    assert list(found) == sorted(found) == job_names()
    assert found.keys() == {*SHIPPED, "fine", "without_words", "broken"}
    assert "" not in (found[name] for name in SHIPPED)
    assert (found["fine"], found["without_words"]) == ("Counts.", "")
    assert found["broken"].startswith("cannot be read: ")
    assert "jobs.fine" not in sys.modules
    with pytest.raises(NoSuchJob, match="there is no job helper; known jobs: broken, commit_activity, "):
        job_source("helper")


def test_a_job_that_cannot_be_imported_says_where(folder: Path) -> None:
    (folder / "needs_more.py").write_text("import os\n\nimport no_such_package\n\ndef main(archive, argv): ...\n")
    (folder / "broken.py").write_text("x = 1\ndef main(archive, argv:\n")
    where = r"job needs_more failed at jobs/needs_more.py, line 3, in <module>: ModuleNotFoundError: .*no_such_package"
    with pytest.raises(JobFailed, match=where):
        find_job("needs_more")
    with pytest.raises(JobFailed, match=r"job broken failed at jobs/broken.py, line 2: SyntaxError"):
        find_job("broken")
    assert find_job("language_census").module.__name__ == "jobs.language_census"


def test_jobs_are_found_inside_the_archive_that_drivers_elsewhere_get(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list_jobs()
    monkeypatch.setattr(jobs, "__path__", [f"{project_archive()}/jobs"])
    assert list_jobs() == before
    assert "def main(" in job_source("language_census")
