"""The processes of a fetch task: who does what is on the agenda, whose turn it is, and what happens when one dies."""

from __future__ import annotations

import gc
import logging
import os
import selectors
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipeline.fetch.agenda import DueNetwork, Errand, ToDo
from pipeline.fetch.channel import Channel
from pipeline.fetch.confine import CPU_GRACE_S, let_go_of_files, memory_bytes
from pipeline.fetch.landing import Landing
from pipeline.fetch.messages import (
    Assignment,
    FileWritten,
    HostAwaited,
    OurFailure,
    Outcome,
    Question,
    RefsChanged,
    RoomMade,
    RoomWanted,
    Rows,
    RowsDropped,
    Surveyed,
    TurnGranted,
    TurnWanted,
)
from pipeline.fetch.parcel import unpacked
from pipeline.fetch.worker import Work, work
from pipeline.git.errors import LimitExceeded, OriginTimeout
from pipeline.git.limits import Limits
from pipeline.model.tables import BY_NAME, CONTENTS, OBJECT_TABLES
from pipeline.model.visit import Visit, VisitStatus
from pipeline.model.visit_counts import WELL
from pipeline.storage.process import die_with_parent

log = logging.getLogger(__name__)

SILENCE_GRACE_S = 2 * CPU_GRACE_S
"""Seconds beyond the time limit of a visit: a worker that sends nothing for longer is killed."""

GROWN_BYTES = 96 << 20
"""Growth limit of a worker: one that has grown by more is replaced, unless it holds a network."""

CRASHED = "crashed"
"""Error code of a visit whose process died for a reason that none of our limits explains."""

_LOOK_EVERY_S = 5.0
_OUT_OF_MEMORY = 77
"""Exit code of a worker that was too short of memory to report it."""

_WITH_IDS = frozenset(table.name for table in OBJECT_TABLES if table is not CONTENTS)


@dataclass(slots=True)
class _Worker:
    """A process.

    ``network`` is what it holds. ``arriving``, the ids of rows that have come, and ``heard_at`` and ``started_at``
    belong to its current ``errand``.
    """

    pid: int
    channel: Channel
    folder: Path
    began_bytes: int
    network: DueNetwork | None = None
    errand: Errand | None = None
    arriving: list[bytes] = field(default_factory=list)
    waits: bool = False
    is_stuck: bool = False
    heard_at: float = 0.0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Crew:
    """Does all that is on an agenda. Use as a context manager: no process outlives it.

    Args:
        task: what its workers know.
        agenda: what to do.
        landing: destination of the rows; visits that do not end well leave none.
        concurrency: origins visited or asked at once; decoding takes turns.
        scratch: local folder.
    """

    def __init__(self, task: Work, agenda: ToDo, landing: Landing, concurrency: int, scratch: Path) -> None:
        self._task, self._agenda, self._landing = task, agenda, landing
        self._concurrency, self._scratch = concurrency, scratch
        self._workers: list[_Worker] = []
        self._turns: deque[_Worker] = deque()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers):
            self._end(worker)
        self._selector.close()

    def outcomes(self) -> Iterator[Outcome]:
        """All visits, in the order in which they end.

        Raises:
            PipelineError, OSError: storage or scratch failed; no origin is to blame.
        """
        while self._assign():
            for key, _ in self._selector.select(_LOOK_EVERY_S):
                for outcome in self._hear(key.data):
                    _tell(outcome.visit)
                    yield outcome
            for worker in list(self._workers):
                if self._is_silent(worker):
                    worker.is_stuck = True
                    os.kill(worker.pid, signal.SIGKILL)

    def _assign(self) -> bool:
        """Give errands to free workers, and return whether any are in progress."""
        self._end_stuck()
        for worker in [worker for worker in self._workers if worker.errand is None]:
            if (errand := self._agenda.next(worker.network)) is not None:
                self._send(self._fit_for(errand, worker), errand)
        while len(self._workers) < self._concurrency and (errand := self._agenda.next(None)) is not None:
            self._send(self._hire(), errand)
        return any(worker.errand is not None for worker in self._workers)

    def _end_stuck(self) -> None:
        """End workers that were killed as silent although their outcome was on its way: another errand would fail."""
        for worker in [worker for worker in self._workers if worker.is_stuck and worker.errand is None]:
            self._end(worker)
            if worker.network is not None:
                self._agenda.let_go(worker.network)

    def _fit_for(self, errand: Errand, worker: _Worker) -> _Worker:
        """The worker, or a new one in its place if it has grown and holds nothing that is still needed."""
        held = worker.network
        if held is not None and (held.is_done or (errand.is_visit and errand.network is not held)):
            worker.network = None
        if worker.network is not None or memory_bytes(worker.pid).resident < worker.began_bytes + GROWN_BYTES:
            return worker
        self._end(worker)
        return self._hire()

    def _send(self, worker: _Worker, errand: Errand) -> None:
        network = errand.network
        if errand.digest is not None:
            message: Question | Assignment = Question(network.network, errand.url, errand.digest)
        else:
            landed = b"" if worker.network is network else b"".join(network.landed)
            message, worker.network = Assignment(network.place, errand.url, landed), network
        worker.errand, worker.arriving = errand, []
        self._note(worker)
        with suppress(BrokenPipeError):  # it is dead, which is heard of next
            worker.channel.send(message)

    def _hire(self) -> _Worker:
        here, there = Channel.pair()
        folder = Path(tempfile.mkdtemp(prefix="worker-", dir=self._scratch))
        pid = os.fork()
        if pid == 0:
            self._become_worker(there, folder)
        there.close()
        worker = _Worker(pid, here, folder, memory_bytes(pid).resident)
        self._workers.append(worker)
        self._selector.register(here.fileno(), selectors.EVENT_READ, worker)
        return worker

    def _become_worker(self, channel: Channel, folder: Path) -> None:
        """The rest of a forked process; never returns."""
        code = 1
        try:
            die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            let_go_of_files(keep=channel.descriptors)
            gc.freeze()  # what is inherited stays shared: looking for garbage in it would copy all of it
            work(self._task, channel, folder)
            code = 0
        except MemoryError:
            code = _OUT_OF_MEMORY
        except BaseException:
            log.exception("a worker ended with an unexpected error")
        finally:
            os._exit(code)

    def _hear(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            message, body = worker.channel.receive()
        except EOFError:
            yield from self._mourn(worker)
            return
        worker.heard_at = time.monotonic()
        match message:
            case Rows():
                self._take(worker, message, body)
            case HostAwaited():
                pass
            case RoomWanted():
                self._landing.make_room()
                with suppress(BrokenPipeError):  # it is dead, which is heard of next
                    worker.channel.send(RoomMade())
            case FileWritten():
                self._landing.adopt(message.file)
            case TurnWanted():
                worker.waits = True
                self._turns.append(worker)
                self._grant()
            case RowsDropped():
                self._end_turn(worker, keep=False)
            case Surveyed():
                self._errand(worker).network.surveyed(message.digests)
            case RefsChanged():
                errand = self._errand(worker)
                errand.network.must_be_visited(errand.index, message.tips)
                worker.errand = None
            case Outcome():
                yield self._finish(worker, message)
            case OurFailure():
                raise message.error

    def _take(self, worker: _Worker, rows: Rows, body: pa.Buffer) -> None:
        batch = unpacked(rows, body)
        self._landing.append(BY_NAME[rows.table], batch, rows.raw_bytes)
        if rows.table in _WITH_IDS:
            worker.arriving.append(b"".join(batch.column("oid").to_pylist()))

    def _grant(self) -> None:
        """Give the first in the queue its turn, if that has not begun."""
        if self._turns and self._turns[0].waits:
            worker = self._turns[0]
            worker.waits = False
            self._note(worker, began=False)
            self._landing.begin()
            with suppress(BrokenPipeError):  # it is dead, which is heard of next
                worker.channel.send(TurnGranted())

    def _end_turn(self, worker: _Worker, *, keep: bool) -> None:
        if worker not in self._turns:
            return
        had_turn = not worker.waits
        self._turns.remove(worker)
        worker.waits = False
        if keep:
            self._errand(worker).network.landed += worker.arriving
        elif had_turn:
            self._landing.drop()
        worker.arriving = []
        self._grant()

    def _finish(self, worker: _Worker, outcome: Outcome) -> Outcome:
        errand = self._errand(worker)
        self._end_turn(worker, keep=outcome.visit.status.ok)
        errand.network.end(errand.index)
        worker.errand = None
        return outcome

    def _errand(self, worker: _Worker) -> Errand:
        assert worker.errand is not None
        return worker.errand

    def _mourn(self, worker: _Worker) -> Iterator[Outcome]:
        """Handle a dead process. Its current visit has failed; the rest of its network continues in another one."""
        self._end_turn(worker, keep=False)
        status = self._bury(worker)
        if (errand := worker.errand) is not None:
            errand.network.end(errand.index)
            yield Outcome(self._failed(worker, errand, status))
        if worker.network is not None:
            self._agenda.let_go(worker.network)

    def _failed(self, worker: _Worker, errand: Errand, status: int) -> Visit:
        error, detail = cause_of_death(status, self._task.conditions.limits)
        if worker.is_stuck:
            error, detail = OriginTimeout.code, f"the visit gave no sign of life for {self._longest_s:g} s"
        took = (datetime.now(UTC) - worker.started_at).total_seconds()
        return Visit(
            self._task.plan.bucket, errand.network.network, errand.url, self._task.night, self._task.run_id,
            VisitStatus.FAILED, error, detail, worker.started_at, took, 0, 0,
        )  # fmt: skip

    def _end(self, worker: _Worker) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        self._bury(worker)

    def _bury(self, worker: _Worker) -> int:
        """Forget an ending process and delete all that it left; returns its status from ``os.waitpid``."""
        self._workers.remove(worker)
        self._selector.unregister(worker.channel.fileno())
        worker.channel.close()
        status = os.waitpid(worker.pid, 0)[1]
        shutil.rmtree(worker.folder, ignore_errors=True)
        return status

    def _note(self, worker: _Worker, *, began: bool = True) -> None:
        worker.heard_at = time.monotonic()
        if began:
            worker.started_at = datetime.now(UTC)

    def _is_silent(self, worker: _Worker) -> bool:
        quiet_s = time.monotonic() - worker.heard_at
        return worker.errand is not None and not worker.waits and quiet_s > self._longest_s

    @property
    def _longest_s(self) -> float:
        return self._task.conditions.limits.total_s + SILENCE_GRACE_S


def _tell(visit: Visit) -> None:
    """Log a visit; what needs nobody's attention only for those who want to see everything."""
    level = logging.DEBUG if visit.status in WELL else logging.WARNING if visit.error == CRASHED else logging.INFO
    about = {"network": visit.network, "origin": visit.origin, "code": visit.error}
    log.log(
        level, "%s: the visit ended as %s: %s", visit.origin, visit.status, visit.detail or "all is well", extra=about
    )


def cause_of_death(status: int, limits: Limits) -> tuple[str, str]:
    """The error code and the message for a visit whose process ended with this status of ``os.waitpid``."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU:
        return LimitExceeded.code, f"the visit took more than {limits.total_s:g} s of CPU time"
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _OUT_OF_MEMORY:
        return LimitExceeded.code, f"the visit needs more than {limits.memory_bytes} bytes of memory"
    if number:
        return CRASHED, f"the process of the visit was killed by {signal.Signals(number).name}"
    return CRASHED, f"the process of the visit ended with exit code {os.WEXITSTATUS(status)}"
