"""Memory for a page of contents, in pages of 2 MiB where the system has them.

A search in 128 MiB looks at one distant place after the other, and a processor remembers where few pages are. And the
kernel takes its time to hand out each page.
"""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from functools import cache
from pathlib import Path

_SET_LARGE_PAGES_OFF, _ARE_LARGE_PAGES_OFF, _EXCEPT_ADVISED = 41, 42, 2
"""Of prctl(2)."""

_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")

_ADVICE = [getattr(mmap, name) for name in ("MADV_HUGEPAGE", "MADV_DONTFORK") if hasattr(mmap, name)]
"""Large pages, and nothing of it in forked processes."""


def large_memory(size_bytes: int) -> mmap.mmap:
    """Zeros; what is not used takes no memory. It is given back after the last view of it.

    Raises:
        MemoryError: there is not so much.
    """
    _allow_large_pages()
    try:
        memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size_bytes} bytes: {error.strerror}") from error
    for advice in _ADVICE:
        with suppress(OSError):  # a kernel that cannot
            memory.madvise(advice)
    return memory


@cache
def _allow_large_pages() -> None:
    """Undo for advised memory what Arrow does for all of this process when it has ``MIMALLOC_ALLOW_THP=0``."""
    with suppress(AttributeError, OSError):  # another C library, or a system without large pages
        prctl = ctypes.CDLL(None).prctl
        if prctl(_ARE_LARGE_PAGES_OFF, 0, 0, 0, 0) != 1:
            return
        if prctl(_SET_LARGE_PAGES_OFF, 1, _EXCEPT_ADVISED, 0, 0) and "[madvise]" in _MODE.read_text():
            prctl(_SET_LARGE_PAGES_OFF, 0, 0, 0, 0)  # Linux before 6.18
