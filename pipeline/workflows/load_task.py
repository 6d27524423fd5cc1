"""The common part of the Luigi tasks of a load: parameters, the task before, the marker of a finished task, retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import luigi
from pydantic import BaseModel

from pipeline.model.layout import Load
from pipeline.workflows.target import RecordTarget, StorageTarget
from pipeline.workflows.task_run import RunTask, TaskRun


class LoadTask(RunTask):
    """One step of a load. A step defines the step before it, its marker, and its work.

    Attributes:
        stage: the name under which its time is recorded.
        after: the step before.
        marker: name of the attribute of ``Load`` that is the marker's path; ``do`` writes the file last.
        record: the type of the marker if later steps read it: a damaged one is written again.
        own_process: any host may run the step, which commits nothing; others need the lease.
    """

    archive = luigi.Parameter(description="the archive's root, so that one luigid serves several")
    night = luigi.DateParameter(description="logical date")
    name = luigi.Parameter(description="the load: the night's date, or a batch of a backfill")

    stage: ClassVar[str]
    after: ClassVar[type[LoadTask] | None] = None
    marker: ClassVar[str]
    record: ClassVar[type[BaseModel] | None] = None

    @property
    def load(self) -> Load:
        """The load that is fetched and published at once."""
        return Load(self.night, self.name)

    def step(self, kind: type[LoadTask], **parameters: object) -> LoadTask:
        """Another step of this load."""
        return kind(archive=self.archive, night=self.night, name=self.name, run_object=self.run_object, **parameters)

    def requires(self) -> list[LoadTask]:
        """The step before."""
        return [] if self.after is None else [self.step(self.after)]

    def output(self) -> StorageTarget | list[StorageTarget]:
        """The marker."""
        storage, path = self.run_object.storage, self.path()
        return StorageTarget(storage, path) if self.record is None else RecordTarget(storage, path, self.record)

    def path(self) -> str:
        """The marker's path."""
        return str(getattr(self.load, self.marker))

    def run(self) -> Iterator[luigi.DynamicRequirements] | None:
        """Do the step's work; repeat it if its error says that this may help."""
        with self.run_object.events.stage(self.stage):
            self.run_object.retrying(self.attempt)
        return None

    def attempt(self) -> None:
        """Do the work, if allowed: a step that changes the archive does not start without the lease.

        Raises:
            LeaseLost: another run holds the archive now.
        """
        if not self.own_process:
            self.run_object.check_lease()
        self.do(self.run_object, self.load)

    def do(self, run: TaskRun, load: Load) -> None:
        """Do the work, and write the marker last."""
        raise NotImplementedError("abstract")
