"""Run a night from one process: take the lease, hand the tasks to Luigi, say how it ended."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date

from pipeline.archive import ArchiveInfo, nightly_loads
from pipeline.config import Config
from pipeline.errors import ExitCode, PipelineError, UsageError
from pipeline.model.layout import Load
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.events import Event, EventLog
from pipeline.workflows.nightly import Nightly
from pipeline.workflows.run import Run, new_run_id
from pipeline.workflows.summary import NightSummary

logger = logging.getLogger(__name__)

Watch = Callable[[EventLog], AbstractContextManager[None]]
"""Shows progress while the block runs."""


class RunFailed(PipelineError):
    """Some task failed for good. ``errors`` are exit codes and sentences; the first one caused the others."""

    def __init__(self, night: date, errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(night, errors)
        self.night, self.errors = night, errors
        self.exit_code = ExitCode(errors[0][0]) if errors else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        told = "; ".join(message for _, message in self.errors) or "see the log above"
        return f"the night {self.night} could not be finished: {told}. Run it again: it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class NightResult:
    """A complete night; ``already`` when it was complete before."""

    summary: NightSummary
    already: bool


def run_night(
    config: Config,
    storage: Storage,
    info: ArchiveInfo,
    night: date,
    *,
    workers: int,
    watch: Watch = lambda events: nullcontext(),
) -> NightResult:
    """Complete a night, and before it any earlier one that was begun and never finished.

    Raises:
        UsageError: a later night is complete already; nights only go forward.
        ArchiveHeld: another run holds the archive.
        RunFailed: some task failed; its exit code is that of the first error.
    """
    done = _finished(storage, night)
    if done is not None:
        return NightResult(done, already=True)
    run_id = new_run_id()
    scratch = config.fetch.scratch_folder / run_id
    scratch.mkdir(parents=True)
    try:
        with Lease.acquire(storage, Owner.here(run_id), ttl_s=config.archive.lease_s) as lease:
            done = _finished(storage, night)
            if done is not None:
                return NightResult(done, already=True)
            for unfinished in _to_do(storage, night):
                events = EventLog(scratch / f"{unfinished}.jsonl")
                run = Run(run_id, config, storage, info, lease.ticket.check, scratch, events)
                with watch(events):
                    _build(run, unfinished, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    summary = _finished(storage, night)
    assert summary is not None
    return NightResult(summary, already=False)


def _finished(storage: Storage, night: date) -> NightSummary | None:
    path = Load.of_night(night).night_summary
    if storage.stat(path) is None:
        return None
    return NightSummary.model_validate_json(storage.read(path))


def _to_do(storage: Storage, night: date) -> list[date]:
    begun = nightly_loads(storage)
    later = [other for other, complete in begun.items() if other > night]
    if later:
        raise UsageError(f"the night {later[-1]} was run already; nights only go forward")
    unfinished = [other for other, complete in begun.items() if not complete and other < night]
    for other in unfinished:
        logger.warning("the night %s was begun and not finished; it is completed first", other)
    return [*unfinished, night]


def _build(run: Run, night: date, workers: int) -> None:
    load = Load.of_night(night)
    task = Nightly(archive=run.storage.root_uri, night=load.night, name=load.name, run_object=run)
    if not run_tasks(task, workers=workers, scheduler=run.config.luigi.scheduler):
        raise RunFailed(night, tuple(map(_told, run.events.errors())))


def _told(event: Event) -> tuple[int, str]:
    return event["exit_code"], event["message"]
