"""Memory and disk that a program and its child processes use, watched while it runs (Linux)."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

INTERVAL_S = 0.05


@dataclass
class Watch:
    """Watches all processes of one session. Use as a context manager around the wait for its end.

    Attributes:
        peaks: process id to its program and its peak memory in bytes.
        together_bytes: peak memory of all processes except Java's at one moment; shared pages count once per process.
        disk_bytes: most bytes in ``folder``, including files without a name.
    """

    session: int
    folder: Path
    peaks: dict[int, tuple[str, int]] = field(default_factory=dict)
    together_bytes: int = 0
    disk_bytes: int = 0

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def largest(self, *, java: bool) -> int:
        """The highest peak memory of one process, in bytes."""
        return max((peak for command, peak in self.peaks.values() if ("java" in command) is java), default=0)

    def _look_again(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._look()

    def _look(self) -> None:
        together, nameless = 0, 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError, LookupError, ValueError):  # ended in the meantime
                if _session(entry) != self.session:
                    continue
                status = _status(entry)
                command = (entry / "exe").readlink().name  # a forking thread of Java has its own name
                self.peaks[int(entry.name)] = command, status["VmHWM"]
                if "java" not in command:
                    together += status["VmRSS"]
                    nameless += _nameless_bytes(entry, self.folder)
        self.together_bytes = max(self.together_bytes, together)
        self.disk_bytes = max(self.disk_bytes, nameless + _bytes_in(self.folder))


def _session(process: Path) -> int:
    """The session id; the command in brackets before it may hold anything."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[3])


def _status(process: Path) -> dict[str, int]:
    lines = (line.split() for line in (process / "status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[0] in ("VmHWM:", "VmRSS:")}


def _nameless_bytes(process: Path, folder: Path) -> int:
    """Bytes of files in a folder that a process holds open after they were deleted."""
    total = 0
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                total += descriptor.stat().st_blocks * 512
    return total


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # skips folders that disappear in the meantime
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total
