"""What a process does once, before it reads and writes much, so that processes forked from it need not do it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

import pyarrow as pa

_MIB: Final = 1 << 20
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""


def prepare_process() -> None:
    """Load libraries and set up memory.

    PyArrow imports pandas with the first Python value that it receives, which takes 0.3 CPU seconds and 60 MB.
    """
    pa.scalar(0)
    _keep_memory()


def prepare_without_pandas() -> None:
    """Set up memory, and let PyArrow look for pandas in vain.

    Whoever converts to pandas imports it all the same. Until then PyArrow takes a series for any sequence, whose NaN is
    no null: not for a process that runs others' code.
    """
    hidden = _NoPandas()
    sys.meta_path.insert(0, hidden)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(hidden)
    _keep_memory()


def _keep_memory() -> None:
    """glibc takes memory from the system, and returns it, in small steps; each new page is cleared. Keeping some saves
    a tenth of a fetch's CPU."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_TRIM_THRESHOLD, 128 * _MIB)
        mallopt(_TOP_PAD, 64 * _MIB)


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Nothing, except for pandas: an error as if it were not installed."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
        return None
