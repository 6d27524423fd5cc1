"""How much of scratch one visit may hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.git.errors import LimitExceeded

FREE_PARTS = 4
"""Parts of free scratch: a visit may take one part of what is free when it begins, so it cannot end the others."""

BLAMELESS_BYTES = 1 << 20
"""Bytes up to which a visit is not blamed for a full disk, however little is free."""


class ScratchQuota:
    """Counts what a visit writes to scratch.

    Args:
        folder: a folder on the scratch disk.
        limit_bytes: most bytes that the visit may hold; less if little is free.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        fair = max(shutil.disk_usage(folder).free // FREE_PARTS, BLAMELESS_BYTES)
        self._limit = min(limit_bytes, fair)
        self.held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count bytes before they are written.

        Raises:
            LimitExceeded: the visit would hold too many.
        """
        self.held_bytes += size_bytes
        if self.held_bytes > self._limit:
            raise LimitExceeded(f"the visit needs more than {self._limit} bytes of scratch")

    def clear(self) -> None:
        """Reset the count: what was written is deleted."""
        self.held_bytes = 0

    @property
    def is_large(self) -> bool:
        """Whether the visit holds so much that it is to blame for a full disk."""
        return self.held_bytes > max(self._limit // 4, BLAMELESS_BYTES)
