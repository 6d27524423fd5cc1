"""What a process sets up once, before it reads and writes much."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

import pyarrow as pa

_MIB: Final = 1 << 20
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""


def prepare_process(*, pandas: bool = True) -> None:
    """Load libraries and set up memory, so that processes forked from this one need not.

    glibc takes memory from the system, and returns it, in small steps; each new page is cleared. Keeping some memory
    saves a tenth of a fetch's CPU.

    Args:
        pandas: let PyArrow import it, as it does with the first Python value that it receives: 0.3 CPU seconds and
            60 MB. Without, code that converts to pandas still imports it; until then PyArrow treats a series like any
            other sequence: its NaN does not become null. So not for a process that runs other people's code.
    """
    with nullcontext() if pandas else _hidden_pandas():
        pa.scalar(0)
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_TRIM_THRESHOLD, 128 * _MIB)
        mallopt(_TOP_PAD, 64 * _MIB)


@contextmanager
def _hidden_pandas() -> Iterator[None]:
    hidden = _NoPandas()
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Nothing, except for pandas: an error as if it were not installed."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
        return None
