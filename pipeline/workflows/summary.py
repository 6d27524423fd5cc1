"""What a night did, as it is kept beside the night and shown to people."""

from __future__ import annotations

from collections import Counter
from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.fetch.bucket import read_manifests
from pipeline.model.layout import Load
from pipeline.model.visit import VisitStatus
from pipeline.tables.plan import read_plan
from pipeline.workflows.run import Run

FAILURES_SHOWN = 100


class FailedVisit(BaseModel):
    """A visit whose origin is not archived, or not whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    status: VisitStatus
    error: str | None
    detail: str | None


class NightSummary(BaseModel):
    """Numbers of one night.

    ``raw_bytes``: of new blobs and trees; ``wire_bytes``: of packs received; ``stored_bytes``: of landed files;
    ``seconds``: wall time by stage, on the machine that finished the night; ``failed``: the first 100.
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

    @property
    def some_failed(self) -> bool:
        """Whether an origin could not be archived for a reason that is not the origin's own state."""
        return self.origins.get(VisitStatus.FAILED, 0) > 0


def summarize(run: Run, load: Load) -> NightSummary:
    """Count what the manifests of a load say."""
    manifests = read_manifests(run.storage, load, sorted(read_plan(run.storage, load).buckets))
    visits = [line for manifest in manifests for line in manifest.visits]
    files = [file for manifest in manifests for file in manifest.files]
    bad = [line for line in visits if line.status not in (VisitStatus.FULL, VisitStatus.UNCHANGED)]
    return NightSummary(
        night=load.night,
        run_id=run.run_id,
        origins=dict(sorted(Counter(line.status for line in visits).items())),
        objects=sum(line.objects for line in visits),
        raw_bytes=sum(file.raw_bytes for file in files),
        wire_bytes=sum(line.pack_bytes for line in visits),
        stored_bytes=sum(file.size_bytes for file in files),
        files=len(files),
        seconds=run.events.seconds_by_stage(),
        failed=tuple(
            FailedVisit(origin=line.origin, status=line.status, error=line.error, detail=line.detail)
            for line in bad[:FAILURES_SHOWN]
        ),
    )
