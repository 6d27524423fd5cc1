"""Holding the archive: one lease, one scratch folder, and the runs made under them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import luigi

from pipeline.archive import ArchiveInfo, begun_loads
from pipeline.config import Config
from pipeline.errors import ExitCode, PipelineError
from pipeline.model.layout import Load
from pipeline.storage.errors import LeaseLost
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.events import Event, EventLog
from pipeline.workflows.load import Derive
from pipeline.workflows.nightly import Nightly
from pipeline.workflows.run import Run, new_run_id

logger = logging.getLogger(__name__)

LEASE = "lease.json"
Watch = Callable[[EventLog], AbstractContextManager[None]]
"""Shows progress while the block runs."""


class RunFailed(PipelineError):
    """Some task failed for good. ``errors`` are exit codes and sentences; the first one caused the others."""

    def __init__(self, load: str, errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(load, errors)
        self.load, self.errors = load, errors
        self.exit_code = ExitCode(errors[0][0]) if errors else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        told = "; ".join(message for _, message in self.errors) or "see the log above"
        return f"{self.load} could not be finished: {told}. Run it again: it goes on where it stopped"


@dataclass(frozen=True)
class Workplace:
    """What a process needs to run tasks, whether it holds the archive or helps whoever does.

    Attributes:
        workers: tasks at once.
        watch: shows progress of each load.
    """

    config: Config
    storage: Storage
    info: ArchiveInfo
    workers: int
    watch: Watch


class Holder:
    """The archive is ours: loads may be published."""

    def __init__(self, place: Workplace, run_id: str, check_lease: Callable[[], None], scratch: Path) -> None:
        self._place, self._run_id, self._check, self._scratch = place, run_id, check_lease, scratch

    def run(self, label: str) -> Run:
        """A run for the tasks of one load or job, with its own event file."""
        place = self._place
        events = EventLog(self._scratch / f"{label}.jsonl")
        return Run(self._run_id, place.config, place.storage, place.info, self._check, self._scratch, events)

    def complete(self, load: Load) -> None:
        """Take a load to its end: a night to its summary, a batch to its derived tables.

        Raises:
            RunFailed: some task failed.
        """
        last = Nightly if load.is_night else Derive
        run = self.run(load.name)
        task = last(archive=run.storage.root_uri, night=load.night, name=load.name, run_object=run)
        self.do([task], run, load.name)

    def complete_unfinished(self, before: Load) -> None:
        """Complete whatever earlier run was begun and never finished, oldest first."""
        for load, finished in begun_loads(self._place.storage).items():
            if not finished and load.name < before.name:
                logger.warning("%s was begun and not finished; it is completed first", load.name)
                self.complete(load)

    def do(self, tasks: list[luigi.Task], run: Run, label: str) -> None:
        """Run tasks while progress is shown.

        Raises:
            RunFailed: some task failed.
        """
        with self._place.watch(run.events):
            done = run_tasks(tasks, workers=self._place.workers, scheduler=run.config.luigi.scheduler)
        if not done:
            raise RunFailed(label, tuple(map(_told, run.events.errors())))


@contextmanager
def hold(place: Workplace, purpose: str) -> Iterator[Holder]:
    """Take the lease for the block.

    Raises:
        ArchiveHeld: another run holds the archive.
    """
    run_id = new_run_id()
    with (
        Lease.acquire(
            place.storage, Owner.here(run_id, purpose), ttl_s=place.config.archive.lease_s, path=LEASE
        ) as lease,
        scratch_folder(place.config, run_id) as scratch,
    ):
        yield Holder(place, run_id, lease.ticket.check, scratch)


@contextmanager
def scratch_folder(config: Config, run_id: str) -> Iterator[Path]:
    """A folder of this run's own, gone afterwards."""
    scratch = config.fetch.scratch_folder / run_id
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def never_ours() -> None:
    """The lease check of a process that only helps to fetch.

    Raises:
        LeaseLost: always.
    """
    raise LeaseLost(LEASE, "another host holds it, this one only fetches")


def _told(event: Event) -> tuple[int, str]:
    return event["exit_code"], event["message"]
