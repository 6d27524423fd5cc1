"""Sums up a night from what its steps left."""

from __future__ import annotations

from pipeline.model.layout import Load
from pipeline.model.night_summary import NightSummary, Unpromised
from pipeline.night.derive import read_derived
from pipeline.night.plan import read_plan
from pipeline.night.publish import read_published
from pipeline.storage.errors import StoredFileDamaged
from pipeline.workflows.task_run import TaskRun


def summarize(run: TaskRun, load: Load) -> NightSummary:
    """Count what a load published, and name what it left out."""
    published, derived = read_published(run.storage, load), read_derived(run.storage, load)
    damage_of_plan, lost, lost_hosts = _of_plan(run, load)
    tables, visits = published.tables.values(), published.visits
    return NightSummary(
        night=load.night,
        run_id=run.run_id,
        origins=visits.origins,
        objects=visits.objects,
        raw_bytes=sum(table.raw_bytes for table in tables),
        wire_bytes=visits.wire_bytes,
        stored_bytes=sum(table.size_bytes for table in tables),
        files=sum(table.files for table in tables),
        seconds=run.events.seconds_by_stage(),
        failed=visits.failed,
        damaged=tuple(sorted({*damage_of_plan, *visits.damaged, *derived.damaged})),
        left_out=derived.left_out,
        errors=visits.errors,
        slowest=visits.slowest,
        hosts=visits.hosts,
        host_seconds=visits.host_seconds,
        unpromised=lost,
        unpromised_hosts=lost_hosts,
        signals=published.signals,
    )


def _of_plan(run: TaskRun, load: Load) -> tuple[tuple[str, ...], tuple[Unpromised, ...], int]:
    """Damaged files, and hosts that lose the promise: those that are named, and how many there are."""
    try:
        plan = read_plan(run.storage, load)
    except StoredFileDamaged as error:  # after it was used
        return (error.path,), (), 0
    return plan.damaged, plan.unpromised, plan.unpromised_hosts
