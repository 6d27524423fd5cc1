"""Flips one bit of a file and keeps its modification time: bit rot writes nothing."""

from __future__ import annotations

import os
import random
from pathlib import Path


def flip(path: Path, bit: int) -> None:
    """Flip a bit, counted from the file's beginning."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def any_bit(path: Path, chance: random.Random) -> int:
    return chance.randrange(8 * path.stat().st_size)
