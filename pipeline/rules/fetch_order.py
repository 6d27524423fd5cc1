"""The order in which a load's fetch tasks begin. Touches no table."""

from __future__ import annotations

from collections.abc import Iterable


def fetch_order(buckets: Iterable[int]) -> list[int]:
    """Planned buckets in the order in which they are given to Luigi: ascending.

    Luigi begins tasks of equal priority in this order, whenever a worker is free.
    """
    return sorted(buckets)
