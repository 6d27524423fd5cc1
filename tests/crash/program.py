"""A ``pipeline`` command that runs as a separate program in its own session, and has an accident there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tests.crash.points import REACHED
from tests.support.sessions import in_session
from tests.support.until import until

ROOT = Path(__file__).parents[2]
LIMIT_S = 400
GONE_S = 60


@dataclass(frozen=True)
class Program:
    """It starts Spark, then waits for its order; ``log`` has its standard error."""

    process: subprocess.Popen[str]
    log: IO[bytes]

    @classmethod
    def starting(cls, config_path: Path) -> Program:
        """Start one with that configuration."""
        log = TemporaryFile()  # noqa: SIM115  # open as long as the program runs
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.launcher", str(config_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        return cls(process, log)

    def order(self, **order: Any) -> None:
        """Give it its order."""
        self._write(json.dumps(order))

    def reach(self) -> None:
        """Wait until it is held at its point."""
        assert self.process.stdout is not None
        assert any(REACHED in line for line in self.process.stdout), self.said()

    def go_on(self) -> None:
        """Let it continue from its point."""
        self._write("")

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and output."""
        stdout, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, stdout + self.said()

    def said(self) -> str:
        log = self.log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode(errors="replace")

    def says(self, words: str) -> None:
        """Wait until its output contains these words."""
        until(lambda: words in self.said() or self.process.poll() is not None, f"never said {words}", limit_s=LIMIT_S)
        assert words in self.said()

    def end_all(self) -> None:
        """Kill what is left of it and of the processes that it started."""
        with self.process, suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()
        until(lambda: not in_session(self.process.pid), "what the program started outlives it", limit_s=GONE_S)

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its exit shows why
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
