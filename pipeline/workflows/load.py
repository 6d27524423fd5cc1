"""The tasks of a load, from plan to derived tables. Each only wires: parameters, requirements, one call, a target."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, TypeVar
from weakref import WeakKeyDictionary

import luigi
from pydantic import BaseModel

from pipeline.fetch.bucket import fetch_bucket, read_manifests
from pipeline.model.layout import Load
from pipeline.model.manifest import VisitLine
from pipeline.night.derive import DeriveSummary, derive
from pipeline.night.plan import read_plan, restore_plan_summary, write_plan
from pipeline.night.publish import PublishSummary, publish
from pipeline.redact import without_secrets
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.paths import is_temporary
from pipeline.workflows.backfill_batch import plan_batch
from pipeline.workflows.target import RecordTarget, StorageTarget
from pipeline.workflows.task_run import RunParameter, TaskRun
from pipeline.workflows.tell import VisitTeller

logger = logging.getLogger(__name__)

T = TypeVar("T")


class LoadTask(luigi.Task):
    """What the tasks of one load share.

    Attributes:
        stage: under which name its time is noted.
        own_process: it runs in a process of its own and commits nothing; any host may do it. All others need the lease.
    """

    archive = luigi.Parameter(description="the archive's root, so that one luigid serves several")
    night = luigi.DateParameter(description="logical date")
    name = luigi.Parameter(description="the load: the night's date, or a batch of a backfill")
    run_object = RunParameter()

    stage: ClassVar[str]
    own_process: ClassVar[bool] = False
    retry_count = 3
    """Times that a luigid hands a task out. More than one: a host that died while it had the task counts too."""

    @property
    def load(self) -> Load:
        """What is fetched and published at once."""
        return Load(self.night, self.name)

    @property
    def same_load(self) -> dict[str, object]:
        """Parameters of the other tasks of this load."""
        return {"archive": self.archive, "night": self.night, "name": self.name, "run_object": self.run_object}

    def target(self, path: str) -> StorageTarget:
        """A file of the archive as a target."""
        return StorageTarget(self.run_object.storage, path)

    def record(self, path: str, kind: type[BaseModel]) -> StorageTarget:
        """The same of a file that later steps read: one that is damaged is written anew."""
        return RecordTarget(self.run_object.storage, path, kind)

    def run(self) -> Iterator[luigi.DynamicRequirements] | None:
        """Do the stage's work, again if its error says that this may help."""
        with self.run_object.events.stage(self.stage):
            self.run_object.retrying(self.attempt)
        return None

    def attempt(self) -> None:
        """Work, if we may: what changes the archive is not even begun without the lease.

        Raises:
            LeaseLost: another run holds the archive now.
        """
        if not self.own_process:
            self.run_object.check_lease()
        self.work()

    def work(self) -> None:
        """The one call."""
        raise NotImplementedError("abstract")

    def on_failure(self, exception: BaseException) -> str:
        """Keep the error for whoever started the run; Luigi only keeps its text."""
        self.run_object.events.error(str(self.task_id), exception)
        return without_secrets(str(super().on_failure(exception)))

    def entered_own_process(self) -> None:
        """Called first in a process of its own: connections of the process it was forked from are not to be shared."""
        run = self.run_object
        self.run_object = replace(run, storage=copy.copy(run.storage))


@LoadTask.event_handler(luigi.Event.PROCESS_FAILURE)  # type: ignore[untyped-decorator] # Luigi has no types here
def _note_killed(task: LoadTask, message: str) -> None:
    task.run_object.events.error(str(task.task_id), RuntimeError(f"{message}, killed (out of memory, or manually)"))


class Plan(LoadTask):
    """Decide which origins are due, and write down what is known of them."""

    stage = "plan"

    def output(self) -> StorageTarget:
        """The plan's marker."""
        return self.target(self.load.plan)

    def complete(self) -> bool:
        """Whether the plan is there and can be read."""
        try:
            read_plan(self.run_object.storage, self.load)
        except FileMissing:
            return False
        except StoredFileDamaged as error:
            logger.error("%s; it is made anew", error)
            return False
        return True

    def work(self) -> None:
        """Write the plan; once buckets are fetched that follow it, only what is damaged of it."""
        run = self.run_object
        if any(not is_temporary(entry.path) for entry in run.storage.list(self.load.manifests)):
            restore_plan_summary(run.storage, self.load)
            return
        if not self.load.is_night:
            plan_batch(run, self.load)
            return
        write_plan(run.writer(), run.storage, self.load, run.archive().buckets)


class Fetch(LoadTask):
    """Visit the due origins of one bucket."""

    bucket = luigi.IntParameter(description="0 to the archive's number of buckets - 1")
    stage = "fetch"
    own_process = True

    def requires(self) -> Plan:
        """The plan."""
        return Plan(**self.same_load)

    def output(self) -> StorageTarget:
        """The manifest."""
        return self.target(self.load.manifest(self.bucket))

    def work(self) -> None:
        """Fetch the bucket."""
        run = self.run_object
        settings = run.config.fetch
        due = read_plan(run.storage, self.load).buckets[self.bucket]
        tell = VisitTeller(due, _best_effort(self.set_status_message), _best_effort(self.set_progress_percentage))

        def on_visit(line: VisitLine) -> None:
            run.events.visit(line)
            tell(line)

        fetch_bucket(
            run.storage,
            self.load,
            self.bucket,
            run_id=run.run_id,
            conditions=settings.conditions,
            concurrency=settings.concurrency,
            scratch=run.scratch,
            run_bytes=settings.run_bytes,
            on_visit=on_visit,
        )


_MANIFESTS_READ: WeakKeyDictionary[TaskRun, set[str]] = WeakKeyDictionary()
"""By run, manifests that have been read, which need not be read again each time somebody asks whether all are there."""


class FetchAll(LoadTask):
    """The fetch tasks of all buckets that the plan names; they are only known once it is there."""

    stage = "fetch"

    def requires(self) -> Plan:
        """The plan."""
        return Plan(**self.same_load)

    def complete(self) -> bool:
        """Whether every planned bucket has a manifest that can be read; one that cannot is fetched again."""
        storage = self.run_object.storage
        if not self.requires().complete():
            return False
        done = {entry.path for entry in storage.list(self.load.manifests)}
        buckets = read_plan(storage, self.load).buckets
        if not all(self.load.manifest(bucket) in done for bucket in buckets):
            return False
        read = _MANIFESTS_READ.setdefault(self.run_object, set())
        unread = [bucket for bucket in sorted(buckets) if self.load.manifest(bucket) not in read]
        _, lost = read_manifests(storage, self.load, unread)
        if lost:
            logger.error("%s: the manifests of buckets %s cannot be read; they are fetched again", self.name, lost)
            return False
        read.update(map(self.load.manifest, unread))
        return True

    def run(self) -> Iterator[luigi.DynamicRequirements]:
        """Hand all of them to Luigi at once."""
        plan = read_plan(self.run_object.storage, self.load)
        self.run_object.events.planned(plan.origins_due, len(plan.buckets))
        fetches = [Fetch(bucket=bucket, **self.same_load) for bucket in sorted(plan.buckets)]
        yield luigi.DynamicRequirements(fetches, custom_complete=lambda _: self.complete())


class Publish(LoadTask):
    """Register what was landed."""

    stage = "publish"

    def requires(self) -> FetchAll:
        """All buckets."""
        return FetchAll(**self.same_load)

    def output(self) -> StorageTarget:
        """Publish's marker."""
        return self.record(self.load.published, PublishSummary)

    def work(self) -> None:
        """Audit and publish."""
        run = self.run_object
        buckets = sorted(read_plan(run.storage, self.load).buckets)
        manifests, lost = read_manifests(run.storage, self.load, buckets)
        if lost:
            raise StoredFileDamaged(
                self.load.manifest(lost[0]), "it was lost during the run; the next one fetches anew"
            )
        publish(run.writer(), run.storage, self.load, manifests, run.run_id, run.scratch)


class Derive(LoadTask):
    """Bring the derived tables up to date."""

    stage = "derive"

    def requires(self) -> Publish:
        """The base tables."""
        return Publish(**self.same_load)

    def output(self) -> StorageTarget:
        """Derive's marker."""
        return self.record(self.load.derived, DeriveSummary)

    def work(self) -> None:
        """Derive."""
        run = self.run_object
        derive(run.writer(), run.storage, self.load)


def _best_effort(tell: Callable[[T], None] | None) -> Callable[[T], None] | None:
    """The same, but a scheduler that does not answer is told nothing more instead of failing the task."""
    if tell is None:
        return None
    silent = False

    def told(value: T) -> None:
        nonlocal silent
        if silent:
            return
        try:
            tell(value)
        except Exception as error:
            silent = True
            logger.warning("the scheduler is told nothing more about this task: %s", error)

    return told
