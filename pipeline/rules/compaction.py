"""Which buckets are worth compacting first, and into which pieces a bucket is cut. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.model.tables import CONTENTS, TREES
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import GIB, MIB

Amount = TypeVar("Amount", float, npt.NDArray[np.float64])

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


RAW_BYTES_S, STORED_BYTES_S, ROWS_S = 30_000_000, 1_000_000, 2_000
"""What a core compacts in a second: raw bytes of texts, landed bytes, which are what zstd did not find elsewhere, and
rows, whose ends are ends of matches. See decision 29; trees cost less.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a piece: bytes of memory for ids and names of its rows, raw bytes, which take scratch, CPU seconds."""

    key_bytes: int = 192 * MIB
    raw_bytes: int = 4 * GIB
    seconds: float = 240.0


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
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The rows of a piece: keys from ``low``, inclusive, to ``high``, exclusive; None for no limit."""

    low: Key | None
    high: Key | None
    key_bytes: int = 0
    raw_bytes: int = 0
    seconds: float = 0.0


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
    sums: list[tuple[int, int, float]] = []
    for rows in weighed:
        if sums:
            keys, raw, seconds = sums[-1]
            more = keys + rows.key_bytes, raw + rows.raw_bytes, seconds + rows.seconds
            if not exceeds(*more, bounds):
                sums[-1] = more
                continue
        starts.append(rows)
        sums.append((rows.key_bytes, rows.raw_bytes, rows.seconds))
    lows: list[Key | None] = [None, *(rows.low for rows in starts[1:]), None]
    return [KeyRange(lows[n], lows[n + 1], *found) for n, found in enumerate(sums)]


def exceeds(key_bytes: int, raw_bytes: int, seconds: float, bounds: Bounds) -> bool:
    """Whether rows are too many for one piece."""
    return key_bytes > bounds.key_bytes or raw_bytes > bounds.raw_bytes or seconds > bounds.seconds


def compaction_s(rows: Amount, raw_bytes: Amount, stored_bytes: Amount) -> Amount:
    """CPU seconds to compact rows of contents, within a factor of two for repositories; made-up texts take up to eight
    times as long.

    Args:
        stored_bytes: of the contents as they are stored now.
    """
    return raw_bytes / RAW_BYTES_S + stored_bytes / STORED_BYTES_S + rows / ROWS_S
