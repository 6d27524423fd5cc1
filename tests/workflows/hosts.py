"""Crawl hosts: process groups on this machine, each with its own name, configuration and scratch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.archive import Archive
from tests.support.sessions import command_of

ROOT = Path(__file__).parents[2]
LIMIT_S = 400


@dataclass
class Running:
    """A running command on a host, with all processes that it started."""

    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def ends(self, code: int) -> str:
        """Wait for it to end with this code; return its standard error."""
        found = self.process.wait(LIMIT_S)
        said = self.log.read_text()
        assert found == code, f"ended with {found}\n{said}"
        return said

    def children(self) -> list[int]:
        """Processes of tasks: direct children that also run Python."""
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in listed if b"as_host" in command_of(child)]


@dataclass
class Host:
    """A machine that runs commands on an archive."""

    name: str
    archive: Archive

    @classmethod
    def of(cls, archive: Archive, name: str, **sections: dict[str, Any]) -> Host:
        scratch = archive.folder / f"scratch-{name}"
        return cls(name, archive.with_settings(fetch={"scratch": str(scratch)}, **sections))

    @property
    def scratch(self) -> list[Path]:
        """The contents of its scratch folder."""
        return list(Path(self.archive.settings["fetch"]["scratch"]).glob("*"))

    @contextmanager
    def starts(self, *arguments: str | Path) -> Iterator[Running]:
        """Run a command while the block runs; its remaining processes are then killed."""
        log = self.archive.folder / f"{len(list(self.archive.folder.glob('*.log')))}.log"
        words = [str(argument) for argument in arguments]
        at = words.index("--") if "--" in words else len(words)
        words[at:at] = ["--config", str(self.archive.config_path)]
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.workflows.as_host", self.name, *words],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        try:
            yield Running(process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LIMIT_S)
