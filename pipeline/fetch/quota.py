"""How much of scratch one visit may hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.git.errors import LimitExceeded

FREE_PARTS = 4
"""A visit gets one such part of what is free when it begins, so that it cannot end the visits beside it."""

BLAMELESS_BYTES = 1 << 20
"""A visit that holds no more than this is not what filled a disk, however little is free."""


class ScratchQuota:
    """Counts what a visit writes to scratch.

    Args:
        folder: on the scratch disk.
        limit_bytes: most that it may hold; less where little is free.
    """

    def __init__(self, origin: str, folder: Path, limit_bytes: int) -> None:
        self._origin = origin
        fair = max(shutil.disk_usage(folder).free // FREE_PARTS, BLAMELESS_BYTES)
        self._limit = min(limit_bytes, fair)
        self.held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """So many more bytes are about to be written.

        Raises:
            LimitExceeded: that is too much.
        """
        self.held_bytes += size_bytes
        if self.held_bytes > self._limit:
            raise LimitExceeded(self._origin, f"the visit needs more than {self._limit} bytes of scratch")

    def clear(self) -> None:
        """What was written is gone."""
        self.held_bytes = 0

    @property
    def is_large(self) -> bool:
        """Whether the visit holds so much that a full disk is of its making."""
        return self.held_bytes > max(self._limit // 4, BLAMELESS_BYTES)
