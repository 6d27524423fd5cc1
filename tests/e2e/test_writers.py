"""Several commands at once, copies that people make, and nights in the future."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from pipeline.workflows import run_night
from tests.e2e.archive import PROGRAM_LIMIT_S, Archive, night
from tests.e2e.conftest import MakeArchive
from tests.support.repos import add_commits, build_graph
from tests.support.servers import Peer

pytestmark = pytest.mark.slow


def all_at_once(archive: Archive, *commands: tuple[str, ...]) -> list[object]:
    """Run each as a separate program; return their JSON output."""
    running = [archive.start(*command, "--output", "json") for command in commands]
    try:
        said = [process.communicate(timeout=PROGRAM_LIMIT_S) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * len(running), said
    return [json.loads(stdout) for stdout, _ in said]


def copy_folder(archive: Archive, source: str, to: str) -> None:
    for entry in archive.storage.walk(source):
        archive.storage.create(f"{to}{entry.path.removeprefix(source)}", archive.storage.read(entry.path))


@pytest.fixture(scope="module")
def archive(make_archive: MakeArchive, served: Path, daemon: Peer) -> Archive:
    made = make_archive("writers")
    build_graph(served / "a.git", [[1], [2, 1]])
    url = daemon.url("a.git")
    added = all_at_once(made, *[("origins", "add", url)] * 2)
    assert sorted(found["added"] for found in added) == [0, 1]  # type: ignore[index]
    assert [row["url"] for row in made.ask("origins", "list")] == [url]
    assert made.nightly(1)["origins"] == {"full": 1}
    return made


def test_two_first_submits_of_one_job_are_both_right(archive: Archive) -> None:
    first, second = all_at_once(archive, *[("submit", "language_census")] * 2)
    assert first == second
    assert archive.sql("SELECT count(*) AS n FROM archive.results.runs") == [{"n": 1}]
    told = json.loads(archive.storage.read("results/language_census/2026-11-01.json"))
    (stood,) = archive.sql("SELECT result_snapshot FROM archive.results.runs")
    assert told["snapshot"] == stood["result_snapshot"]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM archive.code.commits", "DeleteFromTable"),
        ("ALTER TABLE archive.code.origins DROP TAG `night-2026-11-01`", "DropTag"),
        ("DROP TABLE archive.code.commits PURGE", "DropTable"),
        ("CALL archive.system.expire_snapshots('code.commits')", "Call"),
        ("SELECT java_method('java.lang.System', 'exit', '7')", "the function java_method"),
        ("SELECT sum(1) OVER w FROM range(1) WINDOW w AS (ORDER BY reflect('x.Y', 'z'))", "the function reflect"),
        ("SHOW NAMESPACES IN archive.`../../..`", "a table outside it, archive.../../.."),
    ],
)
def test_sql_only_reads(archive: Archive, statement: str, says: str) -> None:
    said = archive.run("sql", statement, code=2)
    assert f"error: only statements that read the archive are run here, and this one has {says}" in said.stderr
    assert len(said.stderr.splitlines()) <= 3


@pytest.mark.parametrize("dated", ["2062-01-01", "20261102", "2026-W45-1", "2026-11-2"])
def test_a_night_is_a_date_that_has_come(archive: Archive, dated: str) -> None:
    said = archive.run("nightly", "--night", dated, code=2)
    assert "is in the future" in said.stderr or "is not a date like 2026-11-24" in said.stderr
    assert {entry.path for entry in archive.storage.list("runs")} == {"runs/2026-11-01"}


def test_copies_beside_a_load_and_a_night_from_the_future_harm_no_other(
    archive: Archive, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = ["runs/2026-11-01.bak", "runs/2026-11-01 copy", "runs/20261101", "runs/2026-11-01-backfill-1"]
    for copy in copies:
        copy_folder(archive, "runs/2026-11-01", copy)
    said = archive.run("nightly", "--night", str(night(2)))
    assert said.stderr.count("2026-11-01.bak is not a load's folder and is ignored") == 1

    with monkeypatch.context() as earlier_version:
        earlier_version.setattr(run_night, "newest_possible", lambda today: date.max)
        archive.run("nightly", "--night", "2062-01-01")
    assert archive.status()["nights"][-1] == "2062-01-01"
    add_commits(served / "a.git", 1)
    assert archive.nightly(3)["origins"] == {"full": 1}, "it is due, although its last visit was dated 2062"
    assert archive.sql("SELECT count(*) AS n FROM commits") == [{"n": 3}], "the newest night that can be"
    (row,) = archive.sql("SELECT night FROM repositories")
    assert str(row["night"]) == str(night(3))
    before = archive.run("sql", "SELECT count(*) AS n FROM commits", "--night", "2062-01-01", "--output", "json")
    assert before.json == [{"n": 2}]

    archive.run("maintain")
    assert {entry.path for entry in archive.storage.list("runs")} >= set(copies)
    for copy in copies:
        assert archive.storage.stat(f"{copy}/published.json") is not None
    assert archive.nightly(4)["origins"] == {"unchanged": 1}
