"""One run of compaction. It holds the lease only while it commits a bucket."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pipeline.context.run import BRIEFLY, helping, hold, nobody
from pipeline.context.workplace import Workplace
from pipeline.maintain.compact import Compacted, Manner, bucket_stats, compact, layout_of
from pipeline.maintain.loads import load_states, may_renew
from pipeline.model.errors import PipelineError
from pipeline.read.inventory.record import keep_record, record_changes
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import piece_jobs
from pipeline.rules.compaction import BucketStats, by_gain
from pipeline.storage.interface import Storage, Uploaded
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.tables.writer import Writer

logger = logging.getLogger(__name__)

PURPOSE = f"compact {BRIEFLY}"

RECORD_EACH_S = 600.0
"""Pause between two recordings of new files. Whoever records in between, such as a night, must read them."""


def run_compact(
    place: Workplace,
    budget: Budget,
    *,
    on_damage: Callable[[str], None],
    buckets: Collection[int] = (),
) -> list[Compacted]:
    """Compact the buckets that gain most until the budget is spent. The next run resumes a killed one: it skips the
    buckets that are done.

    Args:
        on_damage: gets each file that cannot be read; its bucket is skipped.
        buckets: only these; none for all.

    Raises:
        LeaseLost: the lease was lost on the way; finished buckets stay compacted.
    """
    chosen = [s for s in by_gain(bucket_stats(place.spark())) if not buckets or s.bucket in buckets]
    return compact_chosen(place, chosen, budget, on_damage=on_damage)


def compact_chosen(
    place: Workplace, chosen: Iterable[BucketStats], budget: Budget, *, on_damage: Callable[[str], None]
) -> list[Compacted]:
    """Compact some buckets, in order, beside anything else that runs; must not be called while holding the lease.

    Raises:
        LeaseLost: see above.
    """
    new: dict[str, tuple[int, bytes]] = {}

    def note(files: Collection[Uploaded]) -> None:
        new.update((file.path, (file.size_bytes, bytes.fromhex(file.sha256))) for file in files)

    settings, storage = place.config, place.storage
    with helping(place) as run:
        manner = Manner(
            layout_of(settings.maintain),
            piece_jobs(settings.spark.shape),
            run.scratch if settings.spark.local else None,
            Renewal(storage).may_begin,
            on_damage=on_damage,
            on_new=note,
        )
        done: list[Compacted] = []
        recorded, recorded_at = 0, time.monotonic()
        try:
            for bucket in compact(place.spark(), storage, chosen, budget, manner, partial(_writing, place)):
                done.append(bucket)
                if time.monotonic() - recorded_at >= RECORD_EACH_S:
                    _record(place, new)
                    recorded, recorded_at = len(done), time.monotonic()
        finally:
            if len(done) > recorded or new:  # also after an error
                _record(place, new)
    return done


def _record(place: Workplace, new: dict[str, tuple[int, bytes]]) -> None:
    """Record, and forget the new files; they are kept if another run holds the archive."""
    try:
        with hold(place, PURPOSE):
            keep_record(place.storage, partial(record_changes, uploaded=new))
            new.clear()
    except ArchiveHeld as held:
        logger.info("checksums of compacted files are recorded by the run that holds the archive: %s", held)
    except PipelineError as error:
        logger.warning("checksums were not recorded: %s", error)


@contextmanager
def _writing(place: Workplace, patiently: bool) -> Iterator[Writer]:
    with hold(place, PURPOSE, wait_for=_anybody if patiently else nobody) as run:
        yield run.writer()


def _anybody(purpose: str) -> bool:
    """Wait for any holder."""
    return True


@dataclass(slots=True)
class Renewal:
    """Whether ``at_head`` may be renewed now; looks only at loads that it has not seen complete."""

    storage: Storage
    complete: set[str] = field(default_factory=set)
    said: bool = False

    def may_begin(self) -> bool:
        """Whether every load that has begun is complete."""
        states = load_states(self.storage, but=self.complete)
        self.complete.update(state.load.name for state in states if state.complete)
        if self.said and any(not state.complete for state in states):
            return False
        self.said = not may_renew(states)
        return not self.said
