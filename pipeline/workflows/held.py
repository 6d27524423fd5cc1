"""Holding the archive: one lease, one scratch folder, and the runs made under them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import luigi
from pyspark.sql import SparkSession

from pipeline.archive import ArchiveInfo, begun_loads
from pipeline.config import Config
from pipeline.errors import ArchiveHeld, ExitCode, PipelineError
from pipeline.fetch.scratch import scratch_folder as locked_folder
from pipeline.model.layout import LEASE, Load
from pipeline.storage.errors import LeaseLost
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import read_record
from pipeline.tables.session import open_session
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.events import Event, EventLog
from pipeline.workflows.load import Derive
from pipeline.workflows.nightly import Nightly
from pipeline.workflows.run import Run, new_run_id

logger = logging.getLogger(__name__)

BACKFILL = "backfill of origins"
"""What its lease is taken for, and how a nightly tells that its turn will come."""

LOOK_EVERY_S = 1.0
TURN_S = 3 * LOOK_EVERY_S
"""How long a backfill leaves the archive to others between two batches: whoever waits for it looks more often."""

Watch = Callable[[EventLog], AbstractContextManager[None]]
"""Shows progress while the block runs."""


class RunFailed(PipelineError):
    """Some task failed for good. ``errors`` are exit codes and sentences; the first one caused the others."""

    def __init__(self, load: str, errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(load, errors)
        self.load, self.errors = load, errors
        self.exit_code = ExitCode(errors[0][0]) if errors else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        told = "; ".join(message for _, message in self.errors) or "see the log above, and those of other hosts"
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

    def spark(self) -> SparkSession:
        """The session of this process, started on first use."""
        return open_session(self.config.spark, self.storage.root_uri, "pipeline")


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

    def complete_unfinished(self, but: Load | None = None) -> None:
        """Complete whatever was begun and never finished, but for one load.

        That comes before anything new is planned: origins of an unfinished load are still due, and what it has fetched
        already would be fetched and published twice.
        """
        for load, finished in begun_loads(self._place.storage).items():
            if not finished and load != but:
                logger.warning("%s was begun and not finished; it is completed first", load.name)
                self.complete(load)

    def do(self, tasks: list[luigi.Task], run: Run, label: str) -> None:
        """Run tasks while progress is shown.

        Where a luigid forgot them, having been restarted, or gave up what another host could not do, once more.

        Raises:
            RunFailed: some task failed; also if this run lost its lease and another one has completed them since.
        """
        luigi_section = run.config.luigi
        with self._place.watch(run.events):
            for _ in range(luigi_section.attempts):
                done = run_tasks(tasks, workers=self._place.workers, scheduler=luigi_section.scheduler)
                if done or run.events.errors():
                    break
        errors = tuple(map(told, run.events.errors()))
        if not done or any(code == ExitCode.ARCHIVE_HELD for code, _ in errors):
            raise RunFailed(label, errors)


def nobody(purpose: str) -> bool:
    """Wait for no holder."""
    return False


def a_backfill(purpose: str) -> bool:
    """Wait for a backfill of origins, which lets go after each batch."""
    return purpose == BACKFILL


def anybody(purpose: str) -> bool:
    """Wait for every holder."""
    return True


@contextmanager
def hold(place: Workplace, purpose: str, wait_for: Callable[[str], bool] = nobody) -> Iterator[Holder]:
    """Take the lease for the block.

    Args:
        wait_for: is given what another holder holds the archive for; true to wait until it lets go.

    Raises:
        ArchiveHeld: another run holds the archive.
    """
    run_id = new_run_id()
    with (
        _lease(place, Owner.here(run_id, purpose), wait_for) as lease,
        scratch_folder(place.config, run_id) as scratch,
    ):
        yield Holder(place, run_id, lease.ticket.check, scratch)


def _lease(place: Workplace, owner: Owner, wait_for: Callable[[str], bool]) -> Lease:
    waited_for = ""
    while True:
        try:
            return Lease.acquire(place.storage, owner, ttl_s=place.config.archive.lease_s, path=LEASE)
        except ArchiveHeld as held:
            record = read_record(place.storage, LEASE)
            if record is None:
                continue
            if not wait_for(record.purpose):
                raise
            if held.holder != waited_for:
                logger.warning("the archive is held by %s; waiting for it to let go", held.holder)
                waited_for = held.holder
            threading.Event().wait(LOOK_EVERY_S)  # nothing tells when a file on shared storage goes


@contextmanager
def scratch_folder(config: Config, run_id: str) -> Iterator[Path]:
    """A folder of this run's own, gone afterwards; what runs that were killed left goes before."""
    with locked_folder(config.fetch.scratch_folder, run_id) as locked:
        scratch = locked / "run"  # fetch tasks lock the folder that they are given
        scratch.mkdir()
        yield scratch


def never_ours() -> None:
    """The lease check of a process that only helps to fetch.

    Raises:
        LeaseLost: always.
    """
    raise LeaseLost(LEASE, "another host holds it, this one only fetches")


def told(event: Event) -> tuple[int, str]:
    """An error event as ``RunFailed`` keeps it."""
    return event["exit_code"], event["message"]
