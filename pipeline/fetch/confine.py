"""Limits that the kernel enforces on a visit: address space, CPU time, sizes and number of files."""

from __future__ import annotations

import os
import resource
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from pipeline.git.limits import Limits

OPEN_FILES = 1024
CPU_GRACE_S = 60
"""CPU seconds beyond the visit's own limit, in which a visit that still responds ends by itself."""

STANDARD_STREAMS = (0, 1, 2)


def let_go_of_files(keep: Collection[int]) -> None:
    """Redirect all inherited descriptors to nowhere, except standard streams and those in ``keep``.

    They are not closed: inherited objects would later close numbers that belong to others by then.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        if int(name) not in (*STANDARD_STREAMS, nowhere, *keep):
            with suppress(OSError):  # the descriptor that listed them
                os.fstat(int(name))
                os.dup2(nowhere, int(name))
    os.close(nowhere)


class MemoryInUse(NamedTuple):
    """Bytes of address space, and how many of them are in memory; zeros if the system does not report them."""

    space: int
    resident: int


def memory_bytes(pid: int | None = None) -> MemoryInUse:
    """What a process uses now; by default this process."""
    try:
        with open(f"/proc/{pid or 'self'}/statm", "rb", buffering=0) as file:
            space, resident, *_ = file.read().split()
    except OSError:
        return MemoryInUse(0, 0)
    page = resource.getpagesize()
    return MemoryInUse(int(space) * page, int(resident) * page)


class Confinement:
    """The limits of one visit, in addition to what the process holds and has used when the visit begins."""

    def __init__(self, limits: Limits) -> None:
        self._space = memory_bytes().space + limits.memory_bytes
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used_s = int(usage.ru_utime + usage.ru_stime)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
        _lower(resource.RLIMIT_FSIZE, limits.scratch_bytes)
        _lower(resource.RLIMIT_CPU, used_s + int(limits.total_s) + CPU_GRACE_S)
        _lower(resource.RLIMIT_AS, self._space)

    def allow(self, size_bytes: int) -> None:
        """Allow for address space that does not count: of a mapped file, which is no memory, or of what we write."""
        self._space += size_bytes
        _lower(resource.RLIMIT_AS, self._space)


def _lower(what: int, soft: int) -> None:
    """Set a soft limit within the hard one, which stays, so that the next visit can get its own."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
