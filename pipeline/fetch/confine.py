"""Limits that the kernel holds a visit to: address space, CPU time, sizes and number of files."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.git.limits import Limits

OPEN_FILES = 1024
CPU_GRACE_S = 60
"""CPU time beyond the visit's own limit, within which a visit that still listens ends by itself."""

STANDARD_STREAMS = (0, 1, 2)

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that forked it ends, however that ends."""
    with suppress(AttributeError, OSError):  # not Linux: it notices at its next message
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def let_go_of_files(keep: Collection[int]) -> None:
    """Let all descriptors that came with the fork lead nowhere, but standard streams and some others.

    They are not closed: objects that came along, too, would one day close numbers that are others' by then.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        if int(name) not in (*STANDARD_STREAMS, nowhere, *keep):
            with suppress(OSError):  # the one that listed them
                os.fstat(int(name))
                os.dup2(nowhere, int(name))
    os.close(nowhere)


class MemoryInUse(NamedTuple):
    """Bytes of address space, and of them in memory; zeros where the system does not say."""

    space: int
    resident: int


def memory_bytes(pid: int | None = None) -> MemoryInUse:
    """What a process has now; this one unless told."""
    try:
        space, resident, *_ = Path(f"/proc/{pid or 'self'}/statm").read_text().split()
    except OSError:
        return MemoryInUse(0, 0)
    page = resource.getpagesize()
    return MemoryInUse(int(space) * page, int(resident) * page)


class Confinement:
    """The limits of one visit, counted from what the process has and has used when it begins."""

    def __init__(self, limits: Limits) -> None:
        self._space = memory_bytes().space + limits.memory_bytes
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used_s = int(usage.ru_utime + usage.ru_stime)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
        _lower(resource.RLIMIT_FSIZE, limits.scratch_bytes)
        _lower(resource.RLIMIT_CPU, used_s + int(limits.total_s) + CPU_GRACE_S)
        _lower(resource.RLIMIT_AS, self._space)

    def map_file(self, size_bytes: int) -> None:
        """A file of the visit is mapped: it takes address space, and no memory that counts."""
        self._space += size_bytes
        _lower(resource.RLIMIT_AS, self._space)


def _lower(what: int, soft: int) -> None:
    """Set a soft limit, within the hard one, which stays so that the next visit gets its own."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
