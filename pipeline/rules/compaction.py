"""Which buckets are worth compacting first, from the tables' metadata. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.rules.budget import Budget

LANDED_GAIN = 0.25
"""Share of landed bytes that sorting a whole bucket at the compaction level saves; see docs/decisions."""

OVERDUE_GAIN = 0.05
"""Share of a bucket's bytes: with less to gain, rewriting it every night costs more than it frees."""


@dataclass(frozen=True, slots=True)
class BucketStats:
    """One bucket of ``contents`` or ``trees``.

    ``landed_files`` were not written by a compaction, readers skip ``deleted_rows``, and ``oldest_night`` sorts as text
    and is empty if unknown.
    """

    table: str
    bucket: int
    files: int
    size_bytes: int
    rows: int
    landed_files: int
    landed_bytes: int
    deleted_rows: int
    oldest_night: str


def gain_bytes(stats: BucketStats) -> float:
    """Estimated bytes that a compaction frees."""
    deleted = stats.size_bytes * stats.deleted_rows / max(stats.rows, 1)
    return deleted + LANDED_GAIN * stats.landed_bytes


def by_gain(buckets: Iterable[BucketStats]) -> list[BucketStats]:
    """Buckets with anything to gain, the highest gain per rewritten byte first, then the oldest, then the largest.

    A bucket that has not changed since its compaction is left out, which makes a compaction resumable.
    """
    worth = [stats for stats in buckets if gain_bytes(stats) > 0]
    return sorted(
        worth,
        key=lambda s: (
            -round(gain_bytes(s) / max(s.size_bytes, 1), 3),
            s.oldest_night,
            -s.size_bytes,
            s.table,
            s.bucket,
        ),
    )


def overdue(stats: BucketStats, *, most_files: int) -> bool:
    """Whether housekeeping should compact a bucket: it has much to gain, or more landed files than are left alone."""
    return gain_bytes(stats) >= OVERDUE_GAIN * max(stats.size_bytes, 1) or stats.landed_files > most_files


def within(budget: Budget, buckets: Iterable[BucketStats]) -> list[BucketStats]:
    """Buckets that fit a budget's bytes, in order; how many fit a time is only known afterwards."""
    chosen: list[BucketStats] = []
    rewritten = 0
    for stats in buckets:
        if budget.spent(rewritten, 0):
            break
        chosen.append(stats)
        rewritten += stats.size_bytes
    return chosen
