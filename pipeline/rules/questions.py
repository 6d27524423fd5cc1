"""Into how many tasks the questions of a bucket are cut. Touches no table."""

from __future__ import annotations

from collections.abc import Mapping

PART_ORIGINS = 5_000
"""Origins of a part: some minutes, of which a task's own start is a small share."""

MOST_PARTS = 4_000
"""Parts of a load above which they grow: each is a task of Luigi."""


def question_parts(askable: Mapping[int, int]) -> dict[int, int]:
    """The number of parts of each bucket that has more origins than fit one; the others ask their own.

    Args:
        askable: by bucket, the due origins whose refs are known from an earlier visit.
    """
    size = max(PART_ORIGINS, -(-sum(askable.values()) // MOST_PARTS))
    return {bucket: -(-count // size) for bucket, count in askable.items() if count > size}
