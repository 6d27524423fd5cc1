"""The metrics of a run that goes on, from the event files that its processes append to."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.model.host_counts import HostCounts
from pipeline.model.visit import VisitStatus
from pipeline.workflows.events import Event, EventLog, EventReader
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.known import Command, Labels, Values
from pipeline.workflows.metrics.shared import by_code, by_host, by_status, scratch_values

logger = logging.getLogger(__name__)


class LiveRun:
    """What a run has done so far on this machine, over all of its loads. Its methods may be called by several threads.

    An event is read once, when somebody asks; what is kept does not grow with the number of visits.
    """

    def __init__(self, run: Command, scratch: Path) -> None:
        self._run, self._scratch, self._started = run, scratch, time.time()
        self._lock = threading.Lock()
        self._loads: list[_Load] = []
        self._statuses: Counter[VisitStatus] = Counter()
        self._codes: Counter[str] = Counter()
        self._hosts = HostCounts()
        self._objects = self._received = self._failures = 0

    @contextmanager
    def watch(self, events: EventLog) -> Iterator[None]:
        """Follow a load while the block runs. Events that cannot be read at its end are a warning, not an error."""
        load = _Load(EventReader(events))
        with self._lock:
            self._loads.append(load)
        try:
            yield
        finally:
            with self._lock:
                try:
                    self._read()
                except Exception as error:
                    logger.warning("the last events of %s are not in the metrics: %s", events.path, error)
                load.reader = None

    def values(self) -> Values:
        """The metrics now."""
        with self._lock:
            self._read()
            stages: dict[Labels, float] = {}
            for load in self._loads:
                for stage, (first, last) in load.stages.items():
                    stages[stage,] = stages.get((stage,), 0.0) + last - first
            return {
                known.RUN_STARTED: {(self._run,): self._started},
                known.RUN_DUE: {(): sum(load.due for load in self._loads)},
                known.RUN_VISITS: by_status(self._statuses),
                known.RUN_ERRORS: by_code(self._codes),
                known.RUN_HOSTS: by_host(self._hosts.most()),
                known.RUN_OBJECTS: {(): self._objects},
                known.RUN_RECEIVED: {(): self._received},
                known.RUN_STAGES: stages,
                known.RUN_FAILURES: {(): self._failures},
                **scratch_values(self._scratch),
            }

    def _read(self) -> None:
        for load in self._loads:
            for event in load.reader.new() if load.reader is not None else ():
                self._take(load, event)

    def _take(self, load: _Load, event: Event) -> None:
        match event["kind"]:
            case "planned":
                load.due = event["origins_due"]
            case "visit":
                status = VisitStatus(event["status"])
                self._statuses[status] += 1
                self._codes.update([event["error"]] if event["error"] is not None else ())
                self._hosts.add(event["origin"], status)
                self._objects += event["objects"]
                self._received += event["pack_bytes"]
            case "stage":
                first, last = load.stages.get(event["stage"], (event["began"], event["ended"]))
                load.stages[event["stage"]] = (min(first, event["began"]), max(last, event["ended"]))
            case "error":
                self._failures += 1


class _Load:
    """A load: its event file until it ends, its due origins, and its stages with their first and last moment."""

    def __init__(self, reader: EventReader) -> None:
        self.reader: EventReader | None = reader
        self.due = 0
        self.stages: dict[str, tuple[float, float]] = {}
