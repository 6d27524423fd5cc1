"""The processes of one session, whatever their groups (Linux)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.sockets import LOOPBACK, START_LIMIT_S


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


def comes_up(leader: subprocess.Popen[bytes], port: int, host: str = LOOPBACK, limit_s: float = START_LIMIT_S) -> bool:
    """Wait until a server accepts connections on a port; False if it ends, or if another's server answers there.

    Args:
        leader: the server, or the program that started it, in a session of its own.

    Raises:
        TimeoutError: nothing happens.
    """
    until = time.monotonic() + limit_s
    while leader.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return _listens(leader.pid, port)
        if time.monotonic() > until:
            raise TimeoutError(f"nothing listens on port {port} after {limit_s:g} s")
        time.sleep(0.01)
    return False


def _listens(leader: int, port: int) -> bool:
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
