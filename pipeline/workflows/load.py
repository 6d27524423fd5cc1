"""The tasks of a load, from plan to derived tables. Each only wires: parameters, requirements, one call, a target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import luigi

from pipeline.fetch.bucket import fetch_bucket, read_manifests
from pipeline.model.layout import Load
from pipeline.model.manifest import VisitLine
from pipeline.tables.derive import derive
from pipeline.tables.plan import read_plan, write_plan
from pipeline.tables.publish import publish
from pipeline.workflows.run import RunParameter
from pipeline.workflows.target import StorageTarget
from pipeline.workflows.tell import VisitTeller


class LoadTask(luigi.Task):
    """What the tasks of one load share."""

    archive = luigi.Parameter(description="the archive's root, so that one luigid serves several")
    night = luigi.DateParameter(description="logical date")
    name = luigi.Parameter(description="the load: the night's date, or a batch of a backfill")
    run_object = RunParameter()

    stage: ClassVar[str]

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

    def run(self) -> Iterator[list[luigi.Task]] | None:
        """Do the stage's work, again if its error says that this may help."""
        with self.run_object.events.stage(self.stage):
            self.run_object.retrying(self.work)
        return None

    def work(self) -> None:
        """The one call."""
        raise NotImplementedError("abstract")

    def on_failure(self, exception: BaseException) -> str:
        """Keep the error for whoever started the run; Luigi only keeps its text."""
        self.run_object.events.error(str(self.task_id), exception)
        return str(super().on_failure(exception))


class Plan(LoadTask):
    """Decide which origins are due, and write down what is known of them."""

    stage = "plan"

    def output(self) -> StorageTarget:
        """The plan's marker."""
        return self.target(self.load.plan)

    def work(self) -> None:
        """Write the plan."""
        run = self.run_object
        write_plan(run.spark(), run.storage, self.load, run.info.buckets)


class Fetch(LoadTask):
    """Visit the due origins of one bucket."""

    bucket = luigi.IntParameter(description="0 to the archive's number of buckets - 1")
    stage = "fetch"

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
        tell = VisitTeller(due, self.set_status_message, self.set_progress_percentage)

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


class FetchAll(LoadTask):
    """The fetch tasks of all buckets that the plan names; they are only known once it is there."""

    stage = "fetch"

    def requires(self) -> Plan:
        """The plan."""
        return Plan(**self.same_load)

    def complete(self) -> bool:
        """Whether every planned bucket has its manifest."""
        storage = self.run_object.storage
        if not self.requires().complete():
            return False
        done = {entry.path for entry in storage.list(self.load.manifests)}
        return all(self.load.manifest(bucket) in done for bucket in read_plan(storage, self.load).buckets)

    def run(self) -> Iterator[list[luigi.Task]]:
        """Hand all of them to Luigi at once."""
        plan = read_plan(self.run_object.storage, self.load)
        self.run_object.events.planned(plan.origins_due, len(plan.buckets))
        yield [Fetch(bucket=bucket, **self.same_load) for bucket in sorted(plan.buckets)]


class Publish(LoadTask):
    """Register what was landed."""

    stage = "publish"

    def requires(self) -> FetchAll:
        """All buckets."""
        return FetchAll(**self.same_load)

    def output(self) -> StorageTarget:
        """Publish's marker."""
        return self.target(self.load.published)

    def work(self) -> None:
        """Audit and publish."""
        run = self.run_object
        buckets = sorted(read_plan(run.storage, self.load).buckets)
        manifests = read_manifests(run.storage, self.load, buckets)
        publish(run.spark(), run.storage, self.load, manifests, run.run_id, run.check_lease)


class Derive(LoadTask):
    """Bring the derived tables up to date."""

    stage = "derive"

    def requires(self) -> Publish:
        """The base tables."""
        return Publish(**self.same_load)

    def output(self) -> StorageTarget:
        """Derive's marker."""
        return self.target(self.load.derived)

    def work(self) -> None:
        """Derive."""
        run = self.run_object
        derive(run.spark(), run.storage, self.load, run.check_lease)
