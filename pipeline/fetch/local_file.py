"""A finished Parquet file on scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of one table; ``raw_bytes`` is the size of its large values."""

    table: str
    path: Path
    rows: int
    raw_bytes: int
