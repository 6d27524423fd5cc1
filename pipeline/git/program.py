"""The program git, run in a repository of ours, without the settings of whoever runs it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from pipeline.model.errors import PipelineError, UsageError
from pipeline.model.redact import one_line

MOST_S = 600.0
MOST_OUTPUT_BYTES, MOST_MEMORY_BYTES = 1 << 30, 4 << 30
"""What one command may take: contents and histories are strangers', and some are made to be slow or large."""


class GitMissing(UsageError):
    """There is no git on the path."""

    def __str__(self) -> str:
        return "git is not installed: patches, their counts and blame are git's own work; install it"


class GitFailed(PipelineError):
    """Git ended with an error."""

    def __init__(self, command: str, why: str) -> None:
        super().__init__(command, why)
        self.command, self.why = command, why

    def __str__(self) -> str:
        return f"git {self.command} failed: {self.why}"


def run_git(repository: Path, *words: str | bytes) -> bytes:
    """What git writes to standard output in a bare repository; it reads no settings or attributes of a person.

    Raises:
        GitMissing: it is not installed.
        GitFailed: it ended with an error, or took more than the limits above.
    """
    program = shutil.which("git")
    if program is None:
        raise GitMissing
    alone = {
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(repository),
        "LC_ALL": "C",
    }
    command = os.fsdecode(words[0])
    with TemporaryFile(dir=repository) as out, TemporaryFile(dir=repository) as said:
        git = subprocess.Popen(
            [program, f"--git-dir={repository}", *words],
            cwd=repository, env=alone, stdin=subprocess.DEVNULL, stdout=out, stderr=said,
        )  # fmt: skip
        try:
            with suppress(ProcessLookupError):
                resource.prlimit(git.pid, resource.RLIMIT_FSIZE, (MOST_OUTPUT_BYTES,) * 2)
                resource.prlimit(git.pid, resource.RLIMIT_AS, (MOST_MEMORY_BYTES,) * 2)
            git.wait(MOST_S)
        except subprocess.TimeoutExpired:
            raise GitFailed(command, f"it took more than {MOST_S:g} s") from None
        finally:
            git.kill()
            git.wait()
        if git.returncode == -signal.SIGXFSZ or os.fstat(out.fileno()).st_size > MOST_OUTPUT_BYTES:
            raise GitFailed(command, f"it wrote more than {MOST_OUTPUT_BYTES:,} bytes")
        said.seek(0)
        out.seek(0)
        if git.returncode:
            raise GitFailed(command, one_line(said.read().decode(errors="replace")))
        return out.read()
