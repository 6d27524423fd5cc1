"""The program git, run in a repository of ours, without the settings of whoever runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pipeline.model.errors import PipelineError, UsageError
from pipeline.model.redact import one_line


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
        GitFailed: it ended with an error.
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
    done = subprocess.run(
        [program, f"--git-dir={repository}", *words],
        cwd=repository, env=alone, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise GitFailed(os.fsdecode(words[0]), one_line(done.stderr.decode(errors="replace")))
    return done.stdout
