"""Folders on local scratch: each belongs to a running process, and goes when that process is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "fetch-"


@contextmanager
def scratch_folder(scratch: Path, name: str) -> Iterator[Path]:
    """A new folder below ``scratch``, removed at the end; what processes that were killed left there is removed first.

    The kernel's lock on a folder ends with its process, however that ends. A lock on ``scratch`` itself keeps a
    sweeper from seeing a folder that is made but not yet locked.

    Raises:
        OSError: scratch can not be written.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with _locked(scratch):
        _sweep(scratch)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=scratch))
        held = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(scratch: Path) -> None:
    for folder in scratch.glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, or gone while we looked
            held = _lock(folder, fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = _lock(folder)
    try:
        yield
    finally:
        os.close(held)


def _lock(folder: Path, flags: int = 0) -> int:
    """Hold an exclusive lock until the descriptor that is returned is closed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
