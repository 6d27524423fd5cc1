"""A job on many past nights."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.model.layout import Load, result_path
from pipeline.night.seal import seal
from pipeline.storage.interface import Storage
from pipeline.storage.paths import is_temporary
from pipeline.tables.writer import unleased
from pipeline.workflows.backfill_job import has_result
from tests.e2e.archive import Archive
from tests.support.repos import many_small
from tests.support.servers import Peer
from tests.workflows.conftest import MakeArchive
from tests.workflows.hosts import Host
from tests.workflows.test_backfill_origins import wait_until

JOB = "language_census"
FIRST = date(2026, 6, 1)
"""More than a hundred days ago, where Luigi's ranges stop looking by default."""


def sealed(archive: Archive, served: Path, daemon: Peer, nights: int) -> list[date]:
    """One real night, whose state also has the tags of the nights before it."""
    (repo,) = many_small(served, 1)
    archive.add(daemon.url(repo.name))
    days = [FIRST + timedelta(days=number) for number in range(nights)]
    archive.ask("nightly", "--night", str(days[-1]))
    for day in days[:-1]:
        seal(unleased(archive.spark), Load.of_night(day))
    return days


def results(storage: Storage) -> list[str]:
    """Complete results; a killed run may leave a temporary file, which ``maintain`` sweeps."""
    return [entry.path for entry in storage.list(f"results/{JOB}") if not is_temporary(entry.path)]


def test_a_result_of_other_arguments_is_not_the_one(tmp_path: Path) -> None:
    from pipeline.storage.local import LocalStorage

    storage = LocalStorage(tmp_path)
    assert not has_result(storage, JOB, [], FIRST)
    storage.create(result_path(JOB, FIRST), json.dumps({"arguments": ["--all"]}).encode())
    assert has_result(storage, JOB, ["--all"], FIRST)
    assert not has_result(storage, JOB, [], FIRST)


@pytest.mark.slow
@pytest.mark.spark
def test_nights_that_miss_their_result(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    archive = make_archive("archive", archive={"buckets": 1})
    days = sealed(archive, served, daemon, 3)
    command = ("backfill", "job", JOB, "--from", "2026-05-30", "--to", "2026-06-05")
    archive.run("submit", JOB, "--night", str(days[1]))
    done = archive.ask(*command)
    assert done == {"job": JOB, "done": [str(days[0]), str(days[2])], "had": [str(days[1])], "no_night": 4}
    assert archive.ask(*command)["done"] == []
    assert archive.ask("backfill", "job", JOB, "--from", "2031-01-01", "--to", "2031-01-02")["no_night"] == 2
    found = archive.sql(f"SELECT night, language, files FROM archive.results.{JOB} ORDER BY night, language")
    assert [row["night"] for row in found if row["language"] == "Python"] == [str(day) for day in days]

    assert "there is no job nonsense" in archive.run(*_with(command, "nonsense"), code=2).stderr
    assert "there is no date from" in archive.run(*command[:3], *command[5:], "--from", "2026-07-01", code=2).stderr
    said = archive.run(*command, "--", "--strange", code=2).stderr
    assert "takes no arguments, but was given --strange" in said


def _with(command: tuple[str, ...], job: str) -> tuple[str, ...]:
    return (*command[:2], job, *command[3:])


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("nights", [6, pytest.param(30, marks=pytest.mark.long)])
def test_many_nights_killed_once(make_archive: MakeArchive, served: Path, daemon: Peer, nights: int) -> None:
    archive = make_archive("archive", archive={"buckets": 1})
    days = sealed(archive, served, daemon, nights)
    storage = archive.storage
    a, b = (Host.of(archive, name) for name in ("host-a", "host-b"))
    command = ("backfill", "job", JOB, "--from", str(days[0]), "--to", str(days[-1]))
    with a.starts(*command) as running:
        wait_until(lambda: len(results(storage)) >= nights // 6, running)
        running.kill()
    assert nights // 6 <= len(results(storage)) < nights
    with a.starts(*command) as one, b.starts(*command) as two:
        one.ends(0)
        two.ends(0)
    assert len(results(storage)) == nights
    runs = archive.sql("SELECT night, rows FROM archive.results.runs ORDER BY night")
    assert [row["night"] for row in runs] == [str(day) for day in days]
    census = archive.sql(f"SELECT * FROM archive.results.{JOB}")
    assert len(census) == sum(row["rows"] for row in runs)
    assert len({tuple((k, v) for k, v in row.items() if k != "night") for row in census}) == len(census) / nights
    assert not a.scratch
    assert not b.scratch
