"""The summary of a night, which is kept beside it and shown to people."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.model.errors import ExitCode
from pipeline.model.host_counts import ByHost
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import FailedVisit, SlowVisit


class Unpromised(BaseModel):
    """A host with too many origins for ``schedule.greatest_age_nights``, and the nights that it would have to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    origins: int
    nights: float


class NightSummary(BaseModel):
    """Numbers of one night.

    ``raw_bytes``: of new blobs and trees; ``wire_bytes``: of received packs; ``stored_bytes``: of landed files;
    ``seconds``: wall-clock time by stage, of the run that finished the night; ``failed``: the first 100;
    ``errors``: visits by error code; ``hosts``: visits by host and status, of the 50 hosts with most;
    ``host_seconds``: how long the visits to these took, added up; ``slowest``: the 20 visits that took longest;
    ``damaged``: unreadable files of the archive, because of which something was left out; ``left_out``: by bucket, why
    the derived tables do not follow it; ``unpromised``: at most 1,000 hosts that a night with a budget cannot promise
    the greatest age to, of ``unpromised_hosts``; ``signals``: what its visits say about the signals before them.
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
    hosts: ByHost = {}
    host_seconds: dict[str, float] = {}
    unpromised: tuple[Unpromised, ...] = ()
    unpromised_hosts: int = 0
    signals: dict[SignalKind, SignalCounts] = {}

    @property
    def exit_code(self) -> ExitCode:
        """Damage comes before origins that failed for a reason other than their own state, and lost promises."""
        if self.damaged:
            return ExitCode.CHECK_FAILED
        failed = self.origins.get(VisitStatus.FAILED, 0) or self.left_out or self.unpromised
        return ExitCode.SOME_ORIGINS_FAILED if failed else ExitCode.DONE
