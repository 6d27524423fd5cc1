"""Completes loads from any state, by Luigi, in a run that holds the archive, or helps one to fetch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile

from pipeline.context.archive import begun_loads, named_loads
from pipeline.context.run import Run
from pipeline.model.errors import ExitCode, PipelineError
from pipeline.model.layout import Load, newest_possible
from pipeline.model.log import all_about
from pipeline.storage.interface import Storage
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.events import EventLog
from pipeline.workflows.night import Derive, Nightly, Plan, Publish, Seal, planned_fetches
from pipeline.workflows.task_run import TaskRun

logger = logging.getLogger(__name__)

Watch = Callable[[EventLog], AbstractContextManager[None]]
"""Follows a load while the block runs."""


class RunFailed(PipelineError):
    """Some task failed for good. ``errors`` are exit codes and messages; the first one caused the others."""

    def __init__(self, load: str, errors: Sequence[tuple[int, str]]) -> None:
        super().__init__(load, errors)
        self.load, self.errors = load, errors
        self.exit_code = ExitCode(errors[0][0]) if errors else ExitCode.RUN_FAILED

    def __str__(self) -> str:
        causes = (
            "; ".join(dict.fromkeys(message for _, message in self.errors))
            or "see the log above, and those of other hosts"
        )
        return f"{self.load} could not be finished: {causes}. Run it again: it goes on where it stopped"


def last_done(storage: Storage, load: Load) -> str | None:
    """The last stage of a load that an earlier run has finished."""
    done = takewhile(lambda step: storage.stat(getattr(load, step.marker)) is not None, (Plan, Publish, Derive, Seal))
    return next((step.stage for step in reversed([*done])), None)


@contextmanager
def followed(events: EventLog, followers: Sequence[Watch]) -> Iterator[None]:
    """Let all of them follow a load while the block runs, for progress and for metrics."""
    with ExitStack() as stack:
        for follow in followers:
            stack.enter_context(follow(events))
        yield


@dataclass(frozen=True)
class Loads:
    """The loads of an archive, for a run that holds it, or one that helps to fetch."""

    run: Run
    followers: Sequence[Watch]

    def complete(self, load: Load) -> TaskRun:
        """Complete a load: a night up to its summary, a batch up to its derived tables.

        If a luigid forgot the tasks in a restart, or gave up tasks that another host could not do, they are run again.

        Raises:
            RunFailed: some task failed; also if this run lost its lease and another one has completed them since.
        """
        last = Nightly if load.is_night else Derive
        run = TaskRun.of(self.run, load.name)
        task = last(archive=run.storage.root_uri, night=load.night, name=load.name, run_object=run)
        settings, workers = run.config.luigi, run.config.fetch.workers
        stage = last_done(run.storage, load)
        with all_about(night=load.night), followed(run.events, self.followers):
            if stage is not None:
                logger.info("%s goes on after its stage %s", load.name, stage)
            for _ in range(settings.attempts):
                done = run_tasks([task], workers=workers, scheduler=settings.scheduler)
                if done or run.events.failures():
                    break
        errors = run.events.failures()
        if not done or any(code == ExitCode.ARCHIVE_HELD for code, _ in errors):
            raise RunFailed(load.name, errors)
        return run

    def fetch_the_rest(self, load: Load) -> None:
        """Fetch the planned buckets that are not fetched, beside the run that holds the archive; commit nothing.

        Raises:
            RunFailed: some bucket failed; it is left to other hosts.
        """
        run = TaskRun.of(self.run, load.name)
        done = {entry.path for entry in run.storage.list(load.manifests)}
        tasks = [task for task in planned_fetches(run, load) if task.path() not in done]
        if not tasks:
            return
        logger.info("another host leads %s; helping to fetch %d buckets", load.name, len(tasks))
        workers, scheduler = run.config.fetch.workers, run.config.luigi.scheduler
        with followed(run.events, self.followers):
            run_tasks(tasks, workers=workers, scheduler=scheduler, stay=False, again=False)
        if run.events.failures():
            raise RunFailed(load.name, run.events.failures())

    def nights_after(self, night: date) -> list[date]:
        """Later nights that were begun, except with dates that no run can have, which an earlier version allowed."""
        newest = newest_possible(datetime.now(UTC).date())
        loads = named_loads(self.run.storage)
        return [load.night for load in loads if load.is_night and night < load.night <= newest]

    def complete_unfinished(self, but: Load | None = None) -> None:
        """Complete all loads that were begun and not finished, except one.

        This comes before anything new is planned: origins of an unfinished load are still due, so what it has already
        fetched would be fetched and published twice.
        """
        for load, finished in begun_loads(self.run.storage).items():
            if not finished and load != but:
                logger.warning("%s was begun and not finished; it is completed first", load.name)
                self.complete(load)
