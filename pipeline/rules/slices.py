"""Split work into slices of buckets. Touches no table."""

from __future__ import annotations

from collections.abc import Mapping


def bucket_slices(rows: Mapping[int, int], most_rows: int) -> list[list[int]]:
    """Group buckets while their rows stay within a limit; a bucket above it gets its own slice.

    Args:
        rows: number of rows by bucket; buckets without rows are left out.
    """
    slices: list[list[int]] = []
    room = 0
    for bucket, count in sorted(rows.items()):
        if not count:
            continue
        if count > room:
            slices.append([])
            room = most_rows
        slices[-1].append(bucket)
        room -= count
    return slices
