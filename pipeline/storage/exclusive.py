"""Renaming that never replaces, atomically if the kernel supports it."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

AT_FDCWD = -100
RENAME_NOREPLACE = 1  # Linux, linux/fs.h
RENAME_EXCL = 4  # macOS, sys/stdio.h
NOT_KNOWN_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def rename_exclusively(source: Path, target: Path) -> None:
    """Move a file or folder to an unused name.

    If the kernel or file system cannot do it atomically, the target is checked first; a file or empty folder that
    another process creates there in that instant is then replaced.

    Raises:
        FileExistsError: something has the target's name.
        FileNotFoundError: there is no source.
        OSError: anything else.
    """
    kernel = _kernel_call()
    if kernel is not None:
        code = kernel(os.fsencode(source), os.fsencode(target))
        if code == 0:
            return
        if code not in NOT_KNOWN_HERE:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


@functools.cache
def _kernel_call() -> Callable[[bytes, bytes], int] | None:
    """The system's exclusive rename, returning 0 or an error number; None without one."""
    library = ctypes.CDLL(None, use_errno=True)
    name = "renamex_np" if sys.platform == "darwin" else "renameat2"
    function = getattr(library, name, None)
    if function is None:
        return None

    def call(source: bytes, target: bytes) -> int:
        if name == "renamex_np":
            done = function(source, target, ctypes.c_uint(RENAME_EXCL))
        else:
            done = function(AT_FDCWD, source, AT_FDCWD, target, ctypes.c_uint(RENAME_NOREPLACE))
        return 0 if done == 0 else ctypes.get_errno()

    return call
