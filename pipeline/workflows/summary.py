"""The summary of a night, which is kept beside it and shown to people."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.model.errors import ExitCode
from pipeline.model.layout import Load
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import FailedVisit, SlowVisit
from pipeline.night.derive import read_derived
from pipeline.night.plan import read_plan
from pipeline.night.publish import read_published
from pipeline.storage.errors import StoredFileDamaged
from pipeline.workflows.task_run import TaskRun


class NightSummary(BaseModel):
    """Numbers of one night.

    ``raw_bytes``: of new blobs and trees; ``wire_bytes``: of received packs; ``stored_bytes``: of landed files;
    ``seconds``: wall-clock time by stage, on the machine that finished the night; ``failed``: the first 100;
    ``errors``: visits by error code; ``slowest``: the 20 visits that took longest;
    ``damaged``: unreadable files of the archive, because of which something was left out; ``left_out``: by bucket, why
    the derived tables do not follow it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    night: date
    run_id: str
    origins: dict[VisitStatus, int]
    objects: int
    raw_bytes: int
    wire_bytes: int
    stored_bytes: int
    files: int
    seconds: dict[str, float]
    failed: tuple[FailedVisit, ...]
    damaged: tuple[str, ...] = ()
    left_out: dict[int, str] = {}
    errors: dict[str, int] = {}
    slowest: tuple[SlowVisit, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Damage takes precedence over origins that failed for a reason other than their own state."""
        if self.damaged:
            return ExitCode.CHECK_FAILED
        failed = self.origins.get(VisitStatus.FAILED, 0) or self.left_out
        return ExitCode.SOME_ORIGINS_FAILED if failed else ExitCode.DONE


def summarize(run: TaskRun, load: Load) -> NightSummary:
    """Count what a load published, and name what it left out."""
    published, derived = read_published(run.storage, load), read_derived(run.storage, load)
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
        damaged=tuple(sorted({*_damage_of_plan(run, load), *visits.damaged, *derived.damaged})),
        left_out=derived.left_out,
        errors=visits.errors,
        slowest=visits.slowest,
    )


def _damage_of_plan(run: TaskRun, load: Load) -> tuple[str, ...]:
    try:
        return read_plan(run.storage, load).damaged
    except StoredFileDamaged as error:  # after it was used
        return (error.path,)
