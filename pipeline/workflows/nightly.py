"""The tasks of a night. Each one only wires: parameters, what it requires, one call, a target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import ClassVar

import luigi

from pipeline.fetch.bucket import fetch_bucket, read_manifests
from pipeline.model.layout import Load, result_marker
from pipeline.submit.run_job import run_job
from pipeline.tables.derive import derive
from pipeline.tables.plan import read_plan, write_plan
from pipeline.tables.publish import publish
from pipeline.tables.seal import seal
from pipeline.workflows.run import Run, RunParameter
from pipeline.workflows.summary import summarize
from pipeline.workflows.target import StorageTarget


class NightTask(luigi.Task):
    """What the tasks of one night share."""

    archive: str = luigi.Parameter(description="the archive's root, so that one luigid serves several")
    night: date = luigi.DateParameter(description="logical date")
    run_object: Run = RunParameter()

    stage: ClassVar[str]

    @property
    def load(self) -> Load:
        """The load of the night."""
        return Load.of_night(self.night)

    @property
    def same_night(self) -> dict[str, object]:
        """Parameters of the other tasks of this night."""
        return {"archive": self.archive, "night": self.night, "run_object": self.run_object}

    def target(self, path: str) -> StorageTarget:
        """A file of the archive as a target."""
        return StorageTarget(self.run_object.storage, path)

    def run(self) -> None:
        """Do the stage's work, again if its error says that this may help."""
        with self.run_object.events.stage(self.stage):
            self.run_object.retrying(self.work)

    def work(self) -> None:
        """The one call."""
        raise NotImplementedError("abstract")

    def on_failure(self, exception: BaseException) -> str:
        """Keep the error for whoever started the run; Luigi only keeps its text."""
        self.run_object.events.error(str(self.task_id), exception)
        return str(super().on_failure(exception))


class Plan(NightTask):
    """Decide which origins are due, and write down what is known of them."""

    stage = "plan"

    def output(self) -> StorageTarget:
        """The plan's marker."""
        return self.target(self.load.plan)

    def work(self) -> None:
        """Write the plan."""
        run = self.run_object
        write_plan(run.spark(), run.storage, self.load, run.info.buckets)


class Fetch(NightTask):
    """Visit the due origins of one bucket."""

    bucket: int = luigi.IntParameter(description="0 to the archive's number of buckets - 1")
    stage = "fetch"

    def requires(self) -> Plan:
        """The plan."""
        return Plan(**self.same_night)

    def output(self) -> StorageTarget:
        """The manifest."""
        return self.target(self.load.manifest(self.bucket))

    def work(self) -> None:
        """Fetch the bucket."""
        run = self.run_object
        settings = run.config.fetch
        fetch_bucket(
            run.storage,
            self.load,
            self.bucket,
            run_id=run.run_id,
            conditions=settings.conditions,
            concurrency=settings.concurrency,
            scratch=run.scratch,
            run_bytes=settings.run_bytes,
            on_visit=run.events.visit,
        )


class FetchAll(NightTask):
    """The fetch tasks of all buckets that the plan names; they are only known once it is there."""

    stage = "fetch"

    def requires(self) -> Plan:
        """The plan."""
        return Plan(**self.same_night)

    def complete(self) -> bool:
        """Whether every planned bucket has its manifest."""
        return self.requires().complete() and all(task.complete() for task in self._tasks())

    def run(self) -> Iterator[list[Fetch]]:
        """Hand all of them to Luigi at once."""
        plan = read_plan(self.run_object.storage, self.load)
        self.run_object.events.planned(plan.origins_due, len(plan.buckets))
        yield self._tasks()

    def _tasks(self) -> list[Fetch]:
        buckets = sorted(read_plan(self.run_object.storage, self.load).buckets)
        return [Fetch(bucket=bucket, **self.same_night) for bucket in buckets]


class Publish(NightTask):
    """Register what was landed."""

    stage = "publish"

    def requires(self) -> FetchAll:
        """All buckets."""
        return FetchAll(**self.same_night)

    def output(self) -> StorageTarget:
        """Publish's marker."""
        return self.target(self.load.published)

    def work(self) -> None:
        """Audit and publish."""
        run = self.run_object
        buckets = sorted(read_plan(run.storage, self.load).buckets)
        manifests = read_manifests(run.storage, self.load, buckets)
        publish(run.spark(), run.storage, self.load, manifests, run.run_id, run.check_lease)


class Derive(NightTask):
    """Bring the derived tables up to date."""

    stage = "derive"

    def requires(self) -> Publish:
        """The base tables."""
        return Publish(**self.same_night)

    def output(self) -> StorageTarget:
        """Derive's marker."""
        return self.target(self.load.derived)

    def work(self) -> None:
        """Derive."""
        run = self.run_object
        derive(run.spark(), run.storage, self.load, run.check_lease)


class Seal(NightTask):
    """Tag all tables: from here on the night can be read."""

    stage = "seal"

    def requires(self) -> Derive:
        """All tables."""
        return Derive(**self.same_night)

    def output(self) -> StorageTarget:
        """Seal's marker."""
        return self.target(self.load.sealed)

    def work(self) -> None:
        """Tag, then leave the marker."""
        run = self.run_object
        seal(run.spark(), self.load, run.check_lease)
        run.storage.replace(self.load.sealed, json.dumps({"run_id": run.run_id}).encode())


class RunJob(NightTask):
    """Run one job on the night."""

    job: str = luigi.Parameter(description="name of a module in jobs/")
    stage = "jobs"

    def requires(self) -> Seal:
        """A readable night."""
        return Seal(**self.same_night)

    def output(self) -> StorageTarget:
        """The job's lineage."""
        return self.target(result_marker(self.job, self.night))

    def work(self) -> None:
        """Run it without arguments."""
        run = self.run_object
        run_job(run.spark(), run.storage, self.job, [], self.night)


class Nightly(NightTask):
    """A whole night with its jobs and its summary."""

    stage = "nightly"

    def requires(self) -> list[NightTask]:
        """The sealed night and its jobs."""
        jobs = self.run_object.config.nightly.jobs
        return [Seal(**self.same_night), *(RunJob(job=job, **self.same_night) for job in jobs)]

    def output(self) -> StorageTarget:
        """The summary."""
        return self.target(self.load.night_summary)

    def work(self) -> None:
        """Write the summary."""
        run = self.run_object
        summary = summarize(run, self.load)
        run.storage.replace(self.load.night_summary, summary.model_dump_json(indent=1).encode())
