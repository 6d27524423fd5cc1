"""The progress that is shown during a run."""

from __future__ import annotations

import threading
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import progress
from pipeline.cli.progress import BackfillProgress, LoadProgress, View, left_s
from pipeline.model.visit import Visit, VisitStatus
from pipeline.workflows.events import EventLog, EventReader


def visit(status: VisitStatus = VisitStatus.FULL) -> Visit:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Visit(0, 1, "git://host/repo", at.date(), "run", status, None, None, at, 1.0, pack_bytes=1000, objects=4)


@pytest.mark.parametrize(
    ("elapsed_s", "done", "due", "left"), [(10, 5, 10, 10), (10, 0, 10, None), (10, 10, 10, 0), (10, 0, 0, 0)]
)
def test_time_left(elapsed_s: float, done: int, due: int, left: float | None) -> None:
    assert left_s(elapsed_s, done, due) == left


def test_a_reader_gives_each_event_once_and_whole(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    reader = EventReader(events)
    assert list(reader.new()) == []
    events.planned(3, 2)
    assert [event["kind"] for event in reader.new()] == ["planned"]
    with events.path.open("ab") as torn:
        torn.write(b'{"kind": "vis')
    assert list(reader.new()) == []
    with events.path.open("ab") as torn:
        torn.write(b'it"}\n')
    assert list(reader.new()) == [{"kind": "visit"}]
    assert len(events.read()) == 2


def test_stages_and_errors_are_found_without_holding_every_visit(tmp_path: Path) -> None:
    """The leading process asks after a night of, say, a million visits."""
    events = EventLog(tmp_path / "events.jsonl")
    assert (events.seconds_by_stage(), events.failures()) == ({}, ())
    with events.stage("plan"):
        pass
    for _ in range(2_000):
        events.visit(visit())
    events.error("Fetch", ValueError("stage"))
    with events.path.open("ab") as torn:
        torn.write(b'{"kind": "error", "ta')
    tracemalloc.start()
    try:
        assert list(events.seconds_by_stage()) == ["plan"]
        assert [message for _, message in events.failures()] == ["ValueError: stage"]
        assert tracemalloc.get_traced_memory()[1] < events.path.stat().st_size / 2
    finally:
        tracemalloc.stop()


def test_a_night(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    standing = LoadProgress(events)
    assert standing.look().stage == "starting"
    with events.stage("plan"):
        pass
    events.planned(2, 1)
    events.visit(visit())
    view = standing.look()
    assert (view.stage, view.done, view.due, view.unit) == ("fetching", 1, 2, "origins")
    assert view.left_s is not None
    events.visit(visit(VisitStatus.FAILED))
    view = standing.look()
    assert (view.stage, view.done, view.left_s) == ("plan done", 2, None)
    assert view.summary == "1 failed, 1 full; 8 objects, 2.0 kB received"


@pytest.mark.parametrize(("due", "said"), [(0, ["starting"]), (2, ["fetching, 0 of 2 origins; no visit yet"])])
def test_a_line_counts_origins_once_their_number_is_known(
    due: int, said: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY_S", 0.001)
    view = View("fetching" if due else "starting", 0, due, "origins", None, "no visit yet")
    stop = threading.Event()

    def look() -> View:
        stop.set()
        return view

    with caplog.at_level("INFO", logger=progress.__name__):
        progress._say_lines(Console(), look, stop)
    assert caplog.messages == said


def test_a_job_on_many_nights(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    standing = LoadProgress(events)
    events.nights_due(30)
    events.night_done(date(2026, 11, 1))
    view = standing.look()
    assert (view.stage, view.done, view.due, view.unit) == ("running", 1, 30, "nights")
    assert view.left_s is not None


def test_a_backfill_over_its_batches(tmp_path: Path) -> None:
    progress = BackfillProgress()
    progress.due(10)
    progress.passed(3)
    assert (progress.look().done, progress.look().stage, progress.look().left_s) == (3, "choosing", None)
    events = EventLog(tmp_path / "one.jsonl")
    events.planned(2, 1)
    with progress.watch(events):
        events.visit(visit())
        view = progress.look()
        assert (view.done, view.due) == (4, 10)
        assert view.summary.startswith("batch 1, 3 need no visit: 1 full")
    progress.visited(2)
    assert progress.look().done == 5
    progress.passed(5)
    assert progress.look().left_s == 0
