"""One run of compaction, holding the lease."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pyspark.sql import SparkSession

from pipeline.config import Config
from pipeline.fsck.record import keep_record
from pipeline.maintain.compact import Compacted, bucket_stats, compact
from pipeline.maintain.loads import load_states, may_renew
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import by_gain
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.tables.writer import Writer
from pipeline.workflows.run import new_run_id


def run_compact(
    config: Config,
    storage: Storage,
    spark: Callable[[], SparkSession],
    budget: Budget,
    *,
    on_damage: Callable[[str], None],
    buckets: Collection[int] = (),
) -> list[Compacted]:
    """Compact the buckets that gain most until the budget is spent. A killed run is resumed by the next: buckets that
    are done are passed by.

    Args:
        on_damage: is given each file that cannot be read; its bucket is passed by.
        buckets: only these; none for all.

    Raises:
        ArchiveHeld: another run holds the archive.
        LeaseLost: the lease was lost on the way; the buckets that were done are.
    """
    with Lease.acquire(storage, Owner.here(new_run_id(), "compact"), ttl_s=config.archive.lease_s) as lease:
        chosen = [s for s in by_gain(bucket_stats(spark())) if not buckets or s.bucket in buckets]
        done = compact(
            Writer(spark(), lease.check),
            storage,
            config.maintain,
            chosen,
            budget,
            scratch=config.fetch.scratch_folder,
            renew=may_renew(load_states(storage)),
            on_damage=on_damage,
        )
        compacted = list(done)
        keep_record(storage)
        return compacted
