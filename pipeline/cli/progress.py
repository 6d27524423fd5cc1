"""Progress of a run, drawn from its event file: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.workflows.events import EventLog

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 10.0


@contextmanager
def show_progress(console: Console, events: EventLog) -> Iterator[None]:
    """Show how the run goes until the block ends."""
    stop = threading.Event()
    draw = _draw_bar if console.is_terminal else _say_lines
    thread = threading.Thread(target=draw, args=(console, events, stop), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Standing:
    def __init__(self, events: EventLog) -> None:
        self.due = 0
        self.by_status: Counter[str] = Counter()
        self.wire_bytes = self.objects = 0
        self.stages: list[str] = []
        for event in events.read():
            if event["kind"] == "planned":
                self.due = event["origins_due"]
            elif event["kind"] == "visit":
                self.by_status[event["status"]] += 1
                self.wire_bytes += event["pack_bytes"]
                self.objects += event["objects"]
            elif event["kind"] == "stage" and event["stage"] not in self.stages:
                self.stages.append(event["stage"])

    @property
    def visited(self) -> int:
        return self.by_status.total()

    @property
    def text(self) -> str:
        outcomes = ", ".join(f"{count} {status}" for status, count in sorted(self.by_status.items()))
        return f"{outcomes or 'no visit yet'}; {self.objects:,} objects, {decimal(self.wire_bytes)} received"

    @property
    def stage(self) -> str:
        if not self.stages:
            return "planning"
        if self.due and self.visited < self.due:
            return "fetching"
        return f"{self.stages[-1]} done"


def _draw_bar(console: Console, events: EventLog, stop: threading.Event) -> None:
    columns = (
        TextColumn("{task.fields[stage]:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, stage="planning", told="")
        while True:
            now = _Standing(events)
            progress.update(task, total=now.due or None, completed=now.visited, stage=now.stage, told=now.text)
            if stop.wait(LOOK_EVERY_S):
                return


def _say_lines(console: Console, events: EventLog, stop: threading.Event) -> None:
    said = ""
    while not stop.wait(SAY_EVERY_S):
        now = _Standing(events)
        line = f"{now.stage}, {now.visited:,} of {now.due:,} origins: {now.text}"
        if line != said:
            logger.info("%s", line)
            said = line
