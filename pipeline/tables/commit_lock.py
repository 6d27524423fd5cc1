"""One commit at a time on a local file system, where Iceberg's own way to commit is not safe between processes.

A Hadoop catalogue commits by renaming a file to the next version's name. HDFS refuses that if the name is taken. A
local file system replaces the file, so of two processes that commit at the same moment one would lose its rows; Iceberg
looks before it renames, and keeps the two apart only inside one process.
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

    The lock is the kernel's, on the folder itself: it leaves no file, and goes with a process that is killed. Not to be
    nested. A network file system that cannot lock folders goes without.

    Args:
        folder: of a folder that exists, as Hadoop's ``Path`` takes it: its characters stand for themselves.
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
