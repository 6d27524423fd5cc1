"""What others need for the same work: git itself, and Software Heritage's loader."""

from __future__ import annotations

import json
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import command

WINDOW, DEPTH = 250, 50
LOADER = "swh-loader-git"
INSTALL_WITHIN_S = 900


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the loader reports: its cost without its start."""

    cpu_s: float


class LoaderMissing(Exception):
    """The loader cannot be installed or does not run here."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"{LOADER} does not run here: {self.why}"


def clone(url: str, to: Path) -> None:
    """``git clone --mirror``."""
    command(["git", "clone", "--quiet", "--mirror", url, to])


def repack_hard(repository: Path) -> None:
    """The smallest pack that git makes in reasonable time."""
    command(["git", "-C", repository, "repack", "-adfq", f"--window={WINDOW}", f"--depth={DEPTH}"])


def count_word(repository: Path, word: bytes) -> int:
    """How often a word occurs in all versions of all files, read by Python from ``git cat-file``."""
    words: list[str | Path] = [
        "git",
        "-C",
        repository,
        "cat-file",
        "--batch-all-objects",
        "--unordered",
        "--batch",
        "--buffer",
    ]
    found = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, bufsize=1 << 20) as process:
        assert process.stdout is not None
        while header := process.stdout.readline():
            _, kind, size = header.split()
            body = process.stdout.read(int(size) + 1)
            if kind == b"blob":
                found += body.count(word)
    return found


def install_loader(cache: Path) -> Path:
    """The Python of a virtual environment with the loader and none of our code; made once.

    Raises:
        LoaderMissing: it cannot be made.
    """
    python = cache / LOADER / "bin" / "python"
    stamp = cache / LOADER / ".installed"
    if not stamp.exists():
        venv.create(cache / LOADER, with_pip=True, clear=True)
        try:
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", LOADER],
                check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN_S,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise LoaderMissing((error.stderr.strip().splitlines() or ["pip failed"])[-1]) from None
        except subprocess.TimeoutExpired:
            raise LoaderMissing(f"pip took more than {INSTALL_WITHIN_S} s") from None
        stamp.touch()
    return python


def load(python: Path, url: str) -> Loaded:
    """Load a repository into the loader's storage in memory.

    Raises:
        LoaderMissing: it does not work.
    """
    script = Path(__file__).with_name("swh_load.py")
    done = subprocess.run([python, script, url], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoaderMissing((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Loaded(**json.loads(done.stdout.splitlines()[-1]))
