"""First visits of very many origins, in batches that are published one after another.

The tables alone show what is left to do: the origins of the list without a visit. So a backfill continues where it
stopped, whatever stopped it, and the next run that takes the lease, a nightly included, completes a batch that was
begun. Each batch takes the lease for itself; a waiting nightly gets its turn between two batches. What a batch brings
can be read with the next night.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from pipeline.context.run import hold, nobody
from pipeline.context.workplace import Workplace
from pipeline.model.errors import ExitCode
from pipeline.model.night_summary import NightSummary
from pipeline.model.origin import Origin, OriginState
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import FAILURES_SHOWN, FailedVisit
from pipeline.night.opt_outs import admitted
from pipeline.night.plan import last_visits
from pipeline.rules.batches import batch_origins
from pipeline.tables.iceberg import see_newest
from pipeline.workflows.backfill_batch import begin_batch
from pipeline.workflows.backfill_choice import Choice, choose, in_batches
from pipeline.workflows.backfill_list import OriginFile
from pipeline.workflows.backfill_turns import BACKFILL, TURN_S, waits_for_anybody
from pipeline.workflows.loads import Loads, Watch
from pipeline.workflows.summary import summarize


class Progress(Protocol):
    """Shows the progress of a backfill."""

    def due(self, count: int) -> None:
        """Report the number of origins in the list."""

    def passed(self, count: int) -> None:
        """Report how many more of them need no visit."""

    def visited(self, count: int) -> None:
        """Report how many more were visited and published."""


class BackfillSummary(BaseModel):
    """What a backfill did since it was started or resumed.

    ``total``: origins in the list; ``visited``: in this run, by status; ``passed``: of the list, without a visit in
    this run, by state or by status of their last visit; ``failed``: visits with an error code, the first 100;
    ``damaged``: files of the archive that could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    total: int
    batches: tuple[str, ...] = ()
    visited: dict[VisitStatus, int] = {}
    passed: dict[str, int] = {}
    objects: int = 0
    wire_bytes: int = 0
    stored_bytes: int = 0
    failed: tuple[FailedVisit, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Damage takes precedence over failed origins."""
        if self.damaged:
            return ExitCode.CHECK_FAILED
        return ExitCode.SOME_ORIGINS_FAILED if self.failures else ExitCode.DONE

    @property
    def failures(self) -> int:
        """Origins of the list whose last visit failed, now or in an earlier run."""
        return self.visited.get(VisitStatus.FAILED, 0) + self.passed.get(VisitStatus.FAILED, 0)

    def plus_passed(self, passed: Counter[str]) -> BackfillSummary:
        """The summary with more origins that needed no visit."""
        return self.model_copy(update={"passed": dict(sorted((Counter(self.passed) + passed).items()))})

    def plus_batch(self, name: str, batch: NightSummary) -> BackfillSummary:
        """The summary with one more batch."""
        return self.model_copy(
            update={
                "batches": (*self.batches, name),
                "visited": dict(sorted((Counter(self.visited) + Counter(batch.origins)).items())),
                "objects": self.objects + batch.objects,
                "wire_bytes": self.wire_bytes + batch.wire_bytes,
                "stored_bytes": self.stored_bytes + batch.stored_bytes,
                "failed": (*self.failed, *batch.failed)[:FAILURES_SHOWN],
                "damaged": tuple(sorted({*self.damaged, *batch.damaged})),
            }
        )


class _Backfill:
    """One run over a list."""

    def __init__(
        self,
        place: Workplace,
        followers: Sequence[Watch],
        night: date,
        *,
        batch: int,
        retry_failed: bool,
        progress: Progress,
    ) -> None:
        self._place, self._night, self._batch = place, night, batch
        self._followers, self._retry_failed, self._progress = followers, retry_failed, progress
        self._summary = BackfillSummary(total=0)

    def run(self, origins: OriginFile) -> BackfillSummary:
        self._summary = BackfillSummary(total=len(origins))
        self._progress.due(len(origins))
        wait_for = nobody
        for batch in in_batches(self._wanted(origins), self._batch):
            if wait_for is waits_for_anybody:
                threading.Event().wait(TURN_S)  # leave the lease free for a nightly that waits for its turn
            self._visit(batch, wait_for)
            wait_for = waits_for_anybody
        return self._summary

    def _wanted(self, origins: OriginFile) -> Iterator[Origin]:
        """The origins to visit; keeps none that it has given out."""
        for some in in_batches(origins, self._batch):
            wanted = deque(self._choose(some).visit)
            some.clear()
            while wanted:
                yield wanted.popleft()

    def _choose(self, origins: list[Origin]) -> Choice:
        spark = self._place.spark()
        may, may_not = admitted(spark, origins)
        choice = choose(may, last_visits(spark, [origin.url for origin in may]), retry_failed=self._retry_failed)
        choice.passed.update({str(OriginState.OPTED_OUT): len(may_not)} if may_not else {})
        self._summary = self._summary.plus_passed(choice.passed)
        self._progress.passed(choice.passed.total())
        return choice

    def _visit(self, origins: list[Origin], wait_for: Callable[[str], bool]) -> None:
        with hold(self._place, BACKFILL, wait_for=wait_for) as run:
            see_newest(run.spark())
            loads = Loads(run, self._followers)
            loads.complete_unfinished()
            wanted = self._choose(origins).visit  # again: a nightly may have run, or a batch was completed
            if not wanted:
                return
            load = begin_batch(run.storage, self._night, wanted)
            origins.clear()  # the batch reads its own list, and very many origins take gigabytes
            wanted.clear()
            done = summarize(loads.complete(load), load)
            self._summary = self._summary.plus_batch(load.name, done)
            self._progress.visited(sum(done.origins.values()))


def backfill_origins(
    place: Workplace,
    followers: Sequence[Watch],
    source: Path,
    night: date,
    *,
    batch: int | None,
    retry_failed: bool,
    progress: Progress,
) -> BackfillSummary:
    """Visit every origin of a list that has no visit yet.

    Args:
        followers: follow each batch while it is fetched.
        source: the list, see ``origin_list``; checked as a whole before anything is done.
        night: logical date of the visits.
        batch: maximum number of origins that are visited and published at once; None for what suits the archive.
        retry_failed: also visit those whose last visit failed.

    Raises:
        BadOriginList: some lines cannot be used; nothing was added.
        ArchiveHeld: another run holds the archive; between two batches the backfill waits instead.
        RunFailed: some task failed; published batches stay.
    """
    batch = batch or batch_origins(place.archive().buckets)
    run = _Backfill(place, followers, night, batch=batch, retry_failed=retry_failed, progress=progress)
    return run.run(OriginFile.check(source))
