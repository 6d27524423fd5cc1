"""This process: its identity, so that others on this machine notice when it is gone, and its end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Fields of /proc/PID/stat, counted after the command name, which may contain spaces; proc(5)."""

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def process_identity() -> str:
    """Boot, process namespace and start time of this process; empty if the system does not provide them."""
    try:
        return f"{_machine()}/{_stat(os.getpid())[_START]}"
    except OSError:
        return ""


def is_gone(pid: int, identity: str) -> bool:
    """Whether a process with this identity ran here, in this boot and namespace, and no longer does."""
    machine, _, start = identity.rpartition("/")
    try:
        if not machine or machine != _machine():
            return False
    except OSError:
        return False
    try:
        fields = _stat(pid)
    except OSError:
        return True
    return fields[_START] != start or fields[_STATE] == "Z"


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, however that happens."""
    with suppress(AttributeError, OSError):  # not Linux: it notices at its next message
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _machine() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"


def _stat(pid: int) -> list[str]:
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
