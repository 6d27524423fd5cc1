"""Progress of a run, drawn from its event file: a bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.workflows.events import Event, EventLog, EventReader

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class View:
    """The progress of a run. ``left_s`` is None while unknown; ``summary`` is a sentence for people."""

    stage: str
    done: int
    due: int
    unit: str
    left_s: float | None
    summary: str


def left_s(elapsed_s: float, done: int, due: int) -> float | None:
    """Seconds left at the current pace; None before anything is done."""
    if due <= done:
        return 0.0
    return elapsed_s / done * (due - done) if done else None


class LoadProgress:
    """The progress of one load, or of one job over many nights; ``look`` reads new events from its file."""

    def __init__(self, events: EventLog) -> None:
        self._reader = EventReader(events)
        self._began = time.monotonic()
        self._unit = "origins"
        self._due = self._nights = self._wire_bytes = self._objects = 0
        self.by_status: Counter[str] = Counter()
        self._stages: list[str] = []

    def look(self) -> View:
        """The current state."""
        for event in self._reader.new():
            self._take(event)
        done = self._nights if self._unit == "nights" else self.by_status.total()
        rest_s = left_s(time.monotonic() - self._began, done, self._due) if done < self._due else None
        return View(self._stage(done), done, self._due, self._unit, rest_s, self._text())

    def _take(self, event: Event) -> None:
        match event["kind"]:
            case "planned":
                self._due = event["origins_due"]
            case "visit":
                self.by_status[event["status"]] += 1
                self._wire_bytes += event["pack_bytes"]
                self._objects += event["objects"]
            case "nights":
                self._unit, self._due = "nights", event["due"]
            case "night":
                self._nights += 1
            case "stage" if event["stage"] not in self._stages:
                self._stages.append(event["stage"])

    def _stage(self, done: int) -> str:
        if self._unit == "nights":
            return "running"
        if not self._stages:
            return "starting"
        if self._due and done < self._due:
            return "fetching"
        return f"{self._stages[-1]} done"

    def _text(self) -> str:
        if self._unit == "nights":
            return ""
        outcomes = ", ".join(f"{count} {status}" for status, count in sorted(self.by_status.items()))
        return f"{outcomes or 'no visit yet'}; {self._objects:,} objects, {decimal(self._wire_bytes)} received"


class BackfillProgress:
    """The progress of a backfill over all batches. Its methods may be called while another thread calls ``look``."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._due = self._passed = self._visited = self._batches = 0
        self._batch: LoadProgress | None = None

    def due(self, count: int) -> None:
        """Set the number of origins in the list."""
        self._due = count

    def passed(self, count: int) -> None:
        """Count origins that need no visit."""
        self._passed += count

    def visited(self, count: int) -> None:
        """Count a batch of origins that were visited and published."""
        self._visited += count
        self._batches += 1

    @contextmanager
    def watch(self, events: EventLog) -> Iterator[None]:
        """Follow a batch while the block runs."""
        self._batch = LoadProgress(events)
        try:
            yield
        finally:
            self._batch = None

    def look(self) -> View:
        """The current state. Origins that need no visit take no time, so they do not count for the pace."""
        batch = self._batch
        now = None if batch is None else batch.look()
        visited = self._visited + (now.done if now else 0)
        rest_s = left_s(time.monotonic() - self._began, visited, self._due - self._passed)
        summary = f"batch {self._batches + 1}" + (f", {self._passed:,} need no visit" if self._passed else "")
        done = min(self._passed + visited, self._due)
        return View(
            now.stage if now else "choosing",
            done,
            self._due,
            "origins",
            rest_s,
            summary + (f": {now.summary}" if now else ""),
        )


@contextmanager
def show_progress(console: Console, events: EventLog) -> Iterator[None]:
    """Show the progress of a run until the block ends."""
    with show(console, LoadProgress(events).look):
        yield


@contextmanager
def show_backfill(console: Console) -> Iterator[BackfillProgress]:
    """Show the progress that a backfill reports until the block ends."""
    progress = BackfillProgress()
    with show(console, progress.look):
        yield progress


@contextmanager
def show(console: Console, look: Callable[[], View]) -> Iterator[None]:
    """Draw what ``look`` returns, in a thread, until the block ends."""
    stop = threading.Event()
    draw = _draw_bar if console.is_terminal else _say_lines
    thread = threading.Thread(target=draw, args=(console, look, stop), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _draw_bar(console: Console, look: Callable[[], View], stop: threading.Event) -> None:
    columns = (
        TextColumn("{task.fields[stage]:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[summary]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, stage="starting", left="", summary="")
        while True:
            now = look()
            total = now.due or None
            progress.update(
                task, total=total, completed=now.done, stage=now.stage, left=_left(now), summary=now.summary
            )
            if stop.wait(LOOK_EVERY_S):
                return


def _say_lines(console: Console, look: Callable[[], View], stop: threading.Event) -> None:
    said: tuple[object, ...] = ()
    while not stop.wait(SAY_EVERY_S):
        now = look()
        news = (now.stage, now.done, now.due, now.summary)
        if news != said:
            done = f"{now.stage}, {now.done:,} of {now.due:,} {now.unit}"
            parts = (done, _left(now), now.summary) if now.due else (now.stage,)
            logger.info("%s", "; ".join(part for part in parts if part), extra={"event": "progress"})
            said = news


def _left(view: View) -> str:
    """The time left, in whole seconds."""
    return f"{timedelta(seconds=round(view.left_s))} left" if view.left_s else ""
