"""Which buckets are worth compacting first, and into which pieces a bucket is cut. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.model.tables import CONTENTS, TREES
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import GIB, MIB

LANDED_GAIN = 0.25
"""Share of landed bytes that sorting a whole bucket at the compaction level saves; see docs/decisions."""

OVERDUE_GAIN = 0.05
"""Share of a bucket's bytes: with less to gain, rewriting it every night costs more than it frees."""

COMPACTED_TABLES = {table.name: table for table in (CONTENTS, TREES)}
"""Tables that are compacted bucket by bucket, by name; the small others are rewritten whole."""

COMPACTED = "compacted-"
"""Prefix of the names of compacted files, by which a later compaction recognises newer files."""

ROW_BYTES = 96
"""Memory of a compaction per row, without the row's names: id, place, size, order."""

NAME_CHARS = 64
"""Leading characters of ext and of name by which rows are assigned to pieces."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a piece: bytes of memory for ids and names of its rows, and raw bytes, which take scratch and time.

    4 GiB raw take four minutes of a core.
    """

    key_bytes: int = 192 * MIB
    raw_bytes: int = 4 * GIB


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A place in the order of a bucket's rows: network, the beginnings of ext and name, file and position in it."""

    network: int
    ext: str = ""
    name: str = ""
    file: int = 0
    pos: int = 0


@dataclass(frozen=True, slots=True)
class Weighed:
    """Rows from a key up to the next one's."""

    low: Key
    key_bytes: int
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The rows of a piece: keys from ``low``, inclusive, to ``high``, exclusive; None for no limit."""

    low: Key | None
    high: Key | None
    key_bytes: int = 0
    raw_bytes: int = 0


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


def ranges(weighed: Iterable[Weighed], bounds: Bounds) -> list[KeyRange]:
    """Consecutive ranges that together hold every key once. None exceeds the bounds, unless what it consists of does.

    Args:
        weighed: in ascending order of ``low``.
    """
    starts: list[Weighed] = []
    sums: list[tuple[int, int]] = []
    for rows in weighed:
        keys, raw = (rows.key_bytes, rows.raw_bytes)
        if sums and sums[-1][0] + keys <= bounds.key_bytes and sums[-1][1] + raw <= bounds.raw_bytes:
            sums[-1] = (sums[-1][0] + keys, sums[-1][1] + raw)
        else:
            starts.append(rows)
            sums.append((keys, raw))
    lows: list[Key | None] = [None, *(rows.low for rows in starts[1:]), None]
    return [KeyRange(lows[n], lows[n + 1], *found) for n, found in enumerate(sums)]


def exceeds(key_bytes: int, raw_bytes: int, bounds: Bounds) -> bool:
    """Whether rows are too many for one piece."""
    return key_bytes > bounds.key_bytes or raw_bytes > bounds.raw_bytes
