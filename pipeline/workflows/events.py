"""The events of a run, as lines of JSON in a file to which every process of the run appends.

The command line reads progress from it during the run, and stages' times and errors afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.model.errors import ExitCode, PipelineError, ScratchFailed
from pipeline.model.redact import without_secrets
from pipeline.model.visit import Visit

Event = dict[str, Any]
"""An event; always has ``kind``: planned, visit, nights, night, stage or error."""


@dataclass(frozen=True)
class EventLog:
    """The event file of one run on this machine, on its scratch. Appending may raise ``ScratchFailed``."""

    path: Path

    def planned(self, origins_due: int, buckets: int) -> None:
        """The plan is made."""
        self._append({"kind": "planned", "origins_due": origins_due, "buckets": buckets})

    def visit(self, visit: Visit) -> None:
        """A visit ended."""
        self._append(
            {
                "kind": "visit",
                "origin": visit.origin,
                "status": visit.status,
                "error": visit.error,
                "pack_bytes": visit.pack_bytes,
                "objects": visit.objects,
            }
        )

    def nights_due(self, count: int) -> None:
        """A job will run on this many nights."""
        self._append({"kind": "nights", "due": count})

    def night_done(self, night: date) -> None:
        """A job has run on a night."""
        self._append({"kind": "night", "night": night.isoformat()})

    def error(self, task: str, error: BaseException) -> None:
        """A task failed for good."""
        code = error.exit_code if isinstance(error, PipelineError) else ExitCode.RUN_FAILED
        text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
        self._append(
            {
                "kind": "error",
                "task": task,
                "exit_code": int(code),
                "message": without_secrets(text),
                "code": getattr(error, "code", None),
                "retryable": isinstance(error, PipelineError) and error.retryable,
            }
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record when a stage began and ended on this machine; several tasks may share a stage."""
        began = time.time()
        yield
        self._append({"kind": "stage", "stage": name, "began": began, "ended": time.time()})

    def read(self) -> list[Event]:
        """All events so far."""
        return list(EventReader(self).new())

    def seconds_by_stage(self) -> dict[str, float]:
        """Wall-clock seconds from a stage's first task to its last."""
        spans: dict[str, tuple[float, float]] = {}
        for event in self._of_kind("stage"):
            first, last = spans.get(event["stage"], (event["began"], event["ended"]))
            spans[event["stage"]] = (min(first, event["began"]), max(last, event["ended"]))
        return {stage: round(last - first, 2) for stage, (first, last) in spans.items()}

    def failures(self) -> tuple[tuple[int, str], ...]:
        """Exit codes and messages of the tasks that failed for good, oldest first."""
        return tuple((event["exit_code"], event["message"]) for event in self.errors())

    def errors(self) -> Iterator[Event]:
        """The tasks that failed for good, oldest first."""
        return self._of_kind("error")

    def _of_kind(self, kind: str) -> Iterator[Event]:
        """The events of a kind, one at a time: a night has as many visits as origins, and nobody needs them all."""
        begins = f'{{"kind": "{kind}"'.encode()
        try:
            with self.path.open("rb") as file:
                yield from (json.loads(line) for line in file if line.startswith(begins) and line.endswith(b"\n"))
        except FileNotFoundError:
            return

    def _append(self, event: Event) -> None:
        line = json.dumps(event, default=str).encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError as error:
            raise ScratchFailed(str(self.path), error.strerror or str(error)) from error


class EventReader:
    """Reads an event file while it grows, each event once."""

    def __init__(self, events: EventLog) -> None:
        self._path, self._offset = events.path, 0

    def new(self) -> Iterator[Event]:
        """Events since the last call, one at a time: there may be millions."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                for line in stream:
                    if not line.endswith(b"\n"):  # is being written
                        return
                    self._offset += len(line)
                    yield json.loads(line)
        except FileNotFoundError:
            return
