"""One run of compaction, holding the lease."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from pyspark.sql import SparkSession

from pipeline.config import Config
from pipeline.maintain.choose import Budget
from pipeline.maintain.compact import Compacted, compact
from pipeline.maintain.loads import load_states
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.workflows.run import new_run_id

logger = logging.getLogger(__name__)


def run_compact(
    config: Config,
    storage: Storage,
    spark: Callable[[], SparkSession],
    budget: Budget,
    *,
    buckets: Collection[int] = (),
) -> list[Compacted]:
    """Compact until the budget is spent. A killed run is resumed by the next: buckets that are done are passed by.

    While a load is unfinished, flags stay as they are: what it landed at HEAD is not in ``files`` yet.

    Raises:
        ArchiveHeld: another run holds the archive.
        LeaseLost: the lease was lost on the way; the buckets that were done are.
    """
    with Lease.acquire(storage, Owner.here(new_run_id(), "compact"), ttl_s=config.archive.lease_s) as lease:
        unfinished = [state.load.name for state in load_states(storage) if not state.complete]
        if unfinished:
            logger.warning("%s not finished; at_head is not renewed", ", ".join(unfinished))
        scratch = config.fetch.scratch_folder
        scratch.mkdir(parents=True, exist_ok=True)
        done = compact(
            spark(),
            storage,
            config.maintain,
            budget,
            scratch=scratch,
            renew=not unfinished,
            check_lease=lease.check,
            buckets=buckets,
        )
        return list(done)
