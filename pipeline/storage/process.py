"""The identity of this process, so that others on the same machine notice when it is gone."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Fields of /proc/PID/stat, counted after the command name, which may contain spaces; proc(5)."""


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


def _machine() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"


def _stat(pid: int) -> list[str]:
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
