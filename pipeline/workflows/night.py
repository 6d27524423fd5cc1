"""The steps of a load, each with the step before it, its marker, and one call of the module that does the work.

A batch of a backfill ends with Derive (``Load.finished``, ``Loads.complete``); the steps after it are a night's alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import luigi

from pipeline.fetch.forges.sources import signal_sources
from pipeline.model.layout import Load, result_path
from pipeline.model.night_summary import NightSummary
from pipeline.night.derive import DeriveSummary, derive
from pipeline.night.plan import read_plan
from pipeline.night.publish import PublishSummary, publish
from pipeline.night.seal import seal
from pipeline.read.inventory.record import keep_record
from pipeline.read.submit.run_job import run_job
from pipeline.rules.fetch_order import fetch_order
from pipeline.workflows.fetch_load import ask_one_part, fetch_one_bucket, manifests_are_whole, read_all_manifests
from pipeline.workflows.load_task import LoadTask
from pipeline.workflows.plan_load import plan_is_whole, plan_load
from pipeline.workflows.report import report_page
from pipeline.workflows.summary import summarize
from pipeline.workflows.target import StorageTarget
from pipeline.workflows.task_run import TaskRun


class Plan(LoadTask):
    """Decide which origins are due, and write down what is known about them."""

    stage, marker = "plan", "plan"

    def complete(self) -> bool:
        """Whether the plan is there and can be read."""
        return plan_is_whole(self.run_object, self.load)

    def do(self, run: TaskRun, load: Load) -> None:
        """Write the plan."""
        plan_load(run, load)


class Ask(LoadTask):
    """Ask a part of the due origins of one bucket whether they have changed, in a process of its own, on any host."""

    bucket = luigi.IntParameter(description="0 to the archive's number of buckets - 1")
    part = luigi.IntParameter(description="0 to parts - 1")
    parts = luigi.IntParameter(description="number of parts of this bucket")
    stage, after, own_process = "fetch", Plan, True

    def path(self) -> str:
        """What was found."""
        return self.load.asked(self.bucket, self.part)

    def do(self, run: TaskRun, load: Load) -> None:
        """Ask."""
        ask_one_part(run, load, self.bucket, self.part, self.parts)


class Fetch(LoadTask):
    """Visit the due origins of one bucket, in a process of its own, on any host; those that are asked come first."""

    bucket = luigi.IntParameter(description="0 to the archive's number of buckets - 1")
    parts = luigi.IntParameter(description="parts of its questions; 0 if it asks its own")
    stage, after, own_process = "fetch", Plan, True

    def requires(self) -> list[LoadTask]:
        """The plan, and the questions."""
        parts = range(self.parts)
        asks = (self.step(Ask, bucket=self.bucket, part=part, parts=self.parts) for part in parts)
        return [*super().requires(), *asks]

    def path(self) -> str:
        """The manifest."""
        return self.load.manifest(self.bucket)

    def do(self, run: TaskRun, load: Load) -> None:
        """Fetch and land."""
        show = self.set_status_message, self.set_progress_percentage
        fetch_one_bucket(run, load, self.bucket, self.parts, *show)


def planned_fetches(run: TaskRun, load: Load) -> list[Fetch]:
    """The fetches that the plan asks for, in the order in which they should begin."""
    plan = read_plan(run.storage, load)
    run.events.planned(plan.origins_due, len(plan.buckets))
    return [
        Fetch(
            archive=run.storage.root_uri,
            night=load.night,
            name=load.name,
            bucket=bucket,
            parts=plan.parts.get(bucket, 0),
            run_object=run,
        )
        for bucket in fetch_order(plan.buckets)
    ]


class FetchAll(LoadTask):
    """Fetch every bucket in the plan; the buckets are known once the plan is there."""

    stage, after = "fetch", Plan

    def output(self) -> list[StorageTarget]:
        """None of its own: ``complete`` looks at the manifests."""
        return []

    def complete(self) -> bool:
        """Whether every planned bucket has a readable manifest; otherwise the bucket is fetched again."""
        return self.step(Plan).complete() and manifests_are_whole(self.run_object, self.load)

    def run(self) -> Iterator[luigi.DynamicRequirements]:
        """Hand all of them to Luigi at once."""
        fetches = planned_fetches(self.run_object, self.load)
        yield luigi.DynamicRequirements(fetches, custom_complete=lambda _: self.complete())


class Publish(LoadTask):
    """Audit the landed files, and register those that pass in the tables."""

    stage, after, marker, record = "publish", FetchAll, "published", PublishSummary

    def do(self, run: TaskRun, load: Load) -> None:
        """Publish."""
        sources = signal_sources(run.storage, run.config.forges.named)
        publish(run.writer(), run.storage, load, read_all_manifests(run, load), run.run_id, run.scratch, sources)


class Derive(LoadTask):
    """Update the derived tables; the last step of a batch."""

    stage, after, marker, record = "derive", Publish, "derived", DeriveSummary

    def do(self, run: TaskRun, load: Load) -> None:
        """Derive."""
        derive(run.writer(), run.storage, load)


class Seal(LoadTask):
    """Tag all tables: from here on the night can be read."""

    stage, after, marker = "seal", Derive, "sealed"

    def do(self, run: TaskRun, load: Load) -> None:
        """Tag."""
        seal(run.writer(), load)
        run.storage.replace(self.path(), json.dumps({"run_id": run.run_id}).encode())


class RunJob(LoadTask):
    """Run one job on the night."""

    job = luigi.Parameter(description="name of a module in jobs/")
    stage, after = "jobs", Seal

    def path(self) -> str:
        """The job's lineage."""
        return result_path(self.job, self.night)

    def do(self, run: TaskRun, load: Load) -> None:
        """Run it without arguments."""
        run_job(run.spark(), run.storage, self.job, [], load.night)


class Nightly(LoadTask):
    """Finish a night with its jobs, and restore damaged records that its summary needs; the last step."""

    stage, marker, record = "nightly", "night_summary", NightSummary

    def requires(self) -> list[LoadTask]:
        """Every step that leaves a record to read, and the configured jobs."""
        jobs = self.run_object.config.nightly.jobs
        return [*map(self.step, (Publish, Derive, Seal)), *(self.step(RunJob, job=job) for job in jobs)]

    def do(self, run: TaskRun, load: Load) -> None:
        """Write the report, then the summary."""
        summary = summarize(run, load)
        run.storage.replace(load.report, report_page(run.storage, load, summary).encode())
        run.storage.replace(self.path(), summary.model_dump_json(indent=1).encode())
        keep_record(run.storage)
