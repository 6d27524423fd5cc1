"""What makes a load a night: tags, jobs, a summary."""

from __future__ import annotations

import json

import luigi

from pipeline.inventory.record import keep_record
from pipeline.model.layout import result_path
from pipeline.night.seal import seal
from pipeline.submit.run_job import run_job
from pipeline.workflows.load import Derive, LoadTask, Publish
from pipeline.workflows.summary import NightSummary, summarize
from pipeline.workflows.target import StorageTarget


class Seal(LoadTask):
    """Tag all tables: from here on the night can be read."""

    stage = "seal"

    def requires(self) -> Derive:
        """All tables."""
        return Derive(**self.same_load)

    def output(self) -> StorageTarget:
        """Seal's marker."""
        return self.target(self.load.sealed)

    def work(self) -> None:
        """Tag, then leave the marker."""
        run = self.run_object
        seal(run.writer(), self.load)
        run.storage.replace(self.load.sealed, json.dumps({"run_id": run.run_id}).encode())


class RunJob(LoadTask):
    """Run one job on the night."""

    job = luigi.Parameter(description="name of a module in jobs/")
    stage = "jobs"

    def requires(self) -> Seal:
        """A readable night."""
        return Seal(**self.same_load)

    def output(self) -> StorageTarget:
        """The job's lineage."""
        return self.target(result_path(self.job, self.night))

    def work(self) -> None:
        """Run it without arguments."""
        run = self.run_object
        run_job(run.spark(), run.storage, self.job, [], self.night)


class Nightly(LoadTask):
    """A whole night with its jobs and its summary."""

    stage = "nightly"

    def requires(self) -> list[LoadTask]:
        """The sealed night and its jobs, and what the summary is made from, should that be damaged."""
        jobs = self.run_object.config.nightly.jobs
        steps: list[LoadTask] = [Publish(**self.same_load), Derive(**self.same_load), Seal(**self.same_load)]
        return [*steps, *(RunJob(job=job, **self.same_load) for job in jobs)]

    def output(self) -> StorageTarget:
        """The summary."""
        return self.record(self.load.night_summary, NightSummary)

    def work(self) -> None:
        """Write the summary."""
        run = self.run_object
        summary = summarize(run, self.load)
        run.storage.replace(self.load.night_summary, summary.model_dump_json(indent=1).encode())
        keep_record(run.storage)
