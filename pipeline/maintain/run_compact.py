"""One run of compaction, holding the lease."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pipeline.inventory.record import keep_record
from pipeline.maintain.compact import Compacted, bucket_stats, compact
from pipeline.maintain.loads import load_states, may_renew
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import by_gain
from pipeline.run import hold
from pipeline.workplace import Workplace


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
        ArchiveHeld: another run holds the archive.
        LeaseLost: the lease was lost on the way; finished buckets stay compacted.
    """
    with hold(place, "compact") as run:
        chosen = [s for s in by_gain(bucket_stats(run.spark())) if not buckets or s.bucket in buckets]
        done = compact(
            run.writer(),
            run.storage,
            run.config.maintain,
            chosen,
            budget,
            scratch=run.scratch,
            renew=may_renew(load_states(run.storage)),
            on_damage=on_damage,
        )
        compacted = list(done)
        keep_record(run.storage)
        return compacted
