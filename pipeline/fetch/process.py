"""What a process does once, so that fetch tasks in it, or forked from it, need not do it."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import pyarrow as pa

from pipeline.fetch.parquet import MIB

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""


def prepare_process() -> None:
    """Load libraries and set up memory.

    PyArrow imports pandas with the first Python value that it receives, which takes 0.2 CPU seconds. glibc takes memory
    from the system, and returns it, in small steps; each new page is cleared. Keeping some memory saves a tenth of a
    fetch's CPU.
    """
    pa.scalar(0)
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 * MIB)
        mallopt(_TRIM_THRESHOLD, 128 * MIB)
        mallopt(_TOP_PAD, 64 * MIB)
