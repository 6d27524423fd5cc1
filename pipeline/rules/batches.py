"""How many origins a backfill visits and publishes at once."""

from __future__ import annotations

LEAST_BATCH, MOST_BATCH = 10_000, 4_000_000
"""Bounds of a batch. The leading process holds a larger one, 0.7 GB per million origins, and a nightly waits for it."""

BUCKET_ORIGINS = 4_000
"""Origins of each bucket in a batch, which keep its task busy about as long as the largest repository of many."""


def batch_origins(buckets: int) -> int:
    """Origins that a backfill visits and publishes at once, unless it is told otherwise.

    Batches follow one another, so each lasts as long as its longest task, and lands a file per table and bucket: with
    few origins a bucket, most threads wait for one task, and files are many and small.

    >>> batch_origins(8), batch_origins(256), batch_origins(1024)
    (32000, 1024000, 4000000)
    """
    return min(max(buckets * BUCKET_ORIGINS, LEAST_BATCH), MOST_BATCH)
