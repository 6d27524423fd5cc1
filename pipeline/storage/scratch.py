"""Folders on local scratch: each belongs to a running process, and is removed after that process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.model.errors import ScratchFailed

PREFIX, MAKING = "fetch-", "making-"


@contextmanager
def locked_folder(scratch: Path, name: str) -> Iterator[Path]:
    """A new folder below ``scratch``, removed at the end; leftovers of killed processes are removed first.

    The kernel's lock on a folder ends with its process, however that ends. A folder only gets its name when it is
    locked, so nobody takes it for a leftover, and nobody ever waits for a lock.

    Raises:
        ScratchFailed: its disk is full, now or while the folder is in use.
        OSError: scratch cannot be written for another reason.
    """
    with full_disk_reported(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        _sweep(scratch)
        making = Path(tempfile.mkdtemp(prefix=MAKING, dir=scratch))
        held = _lock(making)
        folder = making.rename(scratch / f"{PREFIX}{name}-{making.name.removeprefix(MAKING)}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


@contextmanager
def full_disk_reported(scratch: Path) -> Iterator[None]:
    """Anything that cannot be written for lack of space was meant for scratch.

    Raises:
        ScratchFailed: its disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ScratchFailed(str(scratch), os.strerror(error.errno)) from error


def delete_untouched(folder: Path, for_s: float) -> None:
    """Delete the files of a folder, if there is one, that nobody has written for so long."""
    oldest = time.time() - for_s
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry.path)


def _sweep(scratch: Path) -> None:
    for folder in scratch.glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, or deleted in the meantime
            held = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _lock(folder: Path) -> int:
    """Hold an exclusive lock until the returned descriptor is closed.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
