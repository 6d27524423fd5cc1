"""Go's own command, for programs that are built from published modules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hadoop_daemons import Failed


def go(*arguments: str, at: Path, environment: Mapping[str, str]) -> str:
    """Standard output of a go command.

    Args:
        at: the folder in which it runs.
        environment: beside this process's own.

    Raises:
        Failed: it ends with an error.
    """
    done = subprocess.run(
        ["go", *arguments], cwd=at, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"go {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout
