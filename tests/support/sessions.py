"""The processes of one session, whatever their groups (Linux)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil


def in_session(leader: int) -> list[int]:
    """Running processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def listens(leader: int, port: int) -> bool:
    """Whether a process of a session listens on a port: one that answers there may be another's."""
    for pid in in_session(leader):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            opened = psutil.Process(pid).net_connections("tcp")
            if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in opened):
                return True
    return False


def kill_session(leader: int) -> None:
    """Kill them all at once, and those that they started meanwhile."""
    while running := in_session(leader):
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def command_of(pid: int | str) -> bytes:
    """The command line of a process; nothing if it has ended since it was listed."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
