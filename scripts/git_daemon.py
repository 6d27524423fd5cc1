"""A real git daemon on a free port of loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

READY_WITHIN_S = 10.0


class DaemonFailed(Exception):
    """No git daemon answers."""

    def __str__(self) -> str:
        return "git daemon does not answer; on Debian or Ubuntu it is part of the package git"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Serve all repositories below a folder, and return once the daemon answers.

    Raises:
        DaemonFailed: it does not answer.
    """
    where = ["--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}"]
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", "--reuseaddr", *where],
        stderr=subprocess.DEVNULL,  # it complains about callers that only probe it
    )
    ends = time.monotonic() + READY_WITHIN_S
    while daemon.poll() is None and time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return daemon
        time.sleep(0.05)  # nothing else shows when git daemon listens
    daemon.terminate()
    raise DaemonFailed
