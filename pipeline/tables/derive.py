"""Derive: what people look at first, for the origins that a load moved."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

from pyspark.sql import SparkSession

from pipeline.model.layout import Load
from pipeline.model.tables import FILES, HEAD_BLOBS, REPOSITORIES
from pipeline.storage.interface import Storage
from pipeline.tables.head_blobs import replace_head_blobs
from pipeline.tables.head_files import replace_files
from pipeline.tables.heads import moved_heads
from pipeline.tables.iceberg import see_newest
from pipeline.tables.publish import read_published
from pipeline.tables.repositories import replace_repositories
from pipeline.tables.rewrite import see, until_committed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeriveSummary:
    """Origins whose refs moved, and those of them whose HEAD did."""

    moved: int
    heads_moved: int


def derive(spark: SparkSession, storage: Storage, load: Load, check_lease: Callable[[], None]) -> DeriveSummary:
    """Bring ``files``, ``head_blobs`` and ``repositories`` up to date with a published load.

    Each table changes in one commit; ``repositories`` comes last and is what tells which origins are done, so after a
    crash the same is derived again. A load that moved no ref touches no table. ``load.derived`` is written last.

    All three tables are looked at before the refs are, and change only if nobody else has changed them since: whoever
    derives from older refs, having been paused, is refused and starts again from the refs as they are then.

    Args:
        check_lease: raises when this run may not write any more; called before each commit.

    Raises:
        FileMissing: the load is not published.
    """
    refs = read_published(storage, load).tables.get("refs")
    summary = DeriveSummary(0, 0)
    if refs is not None:
        summary = derive_buckets(spark, load, refs.buckets, check_lease)
    storage.replace(load.derived, json.dumps(asdict(summary), indent=1).encode())
    log.info("load %s: derived %d origins, %d with another HEAD", load.name, summary.moved, summary.heads_moved)
    return summary


def derive_buckets(
    spark: SparkSession, load: Load, buckets: Collection[int], check_lease: Callable[[], None]
) -> DeriveSummary:
    """Bring the derived tables of some buckets up to date with ``refs``; see ``derive``."""

    def attempt() -> DeriveSummary:
        see_newest(spark)
        files, blobs, repositories = (see(spark, table.name) for table in (FILES, HEAD_BLOBS, REPOSITORIES))
        heads = moved_heads(spark, load, buckets)
        elsewhere = heads.filter(heads["head_moved"])
        if elsewhere.num_rows:
            replace_files(spark, load, elsewhere, files, check_lease)
            replace_head_blobs(spark, load, elsewhere, blobs, check_lease)
        if heads.num_rows:
            replace_repositories(spark, load, heads, repositories, check_lease)
        return DeriveSummary(heads.num_rows, elsewhere.num_rows)

    return until_committed("what is derived", attempt)
