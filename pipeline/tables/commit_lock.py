"""One commit at a time on a local file system, where Iceberg's own commits are not safe between processes.

A Hadoop catalogue commits by renaming a file to the next version's name. HDFS refuses that if the name is taken. A
local file system replaces the file, so if two processes commit at the same moment, one loses its rows; Iceberg checks
before it renames, but separates the two only within one process.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_LOCAL = re.compile(r"(?:file:(?://[^/]*)?)?(?=/)")


@contextmanager
def one_at_a_time(folder: str) -> Iterator[None]:
    """Hold a lock on a local folder while the block runs; on any other storage do nothing.

    The lock is the kernel's, on the folder itself: it leaves no file, and ends with a killed process. Do not nest it.
    On a network file system that cannot lock folders there is no lock.

    Args:
        folder: URI of an existing folder, as Hadoop's ``Path`` takes it, without percent-encoding.
    """
    local = _LOCAL.match(folder)
    if local is None:
        yield
        return
    handle = os.open(folder[local.end() :], os.O_RDONLY | os.O_CLOEXEC)
    try:
        locked = _lock(handle)
        try:
            yield
        finally:
            if locked:
                fcntl.flock(handle, fcntl.LOCK_UN)  # a forked process may hold the same handle
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
