"""The order in which a load's fetch tasks begin. Touches no table."""

from __future__ import annotations

from collections.abc import Mapping


def fetch_order(due: Mapping[int, int]) -> list[int]:
    """Planned buckets in the order in which they are given to Luigi: those with most due origins first.

    Luigi begins tasks of equal priority in this order, whenever a worker is free, and a bucket's questions before it.

    Args:
        due: due origins by bucket.
    """
    return sorted(due, key=lambda bucket: (-due[bucket], bucket))
