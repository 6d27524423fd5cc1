"""What a requirements file asks for and this installation lacks, installed by pip into a folder of its own."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import site
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pipeline.model.errors import ScratchFailed, UsageError
from pipeline.model.redact import one_line
from pipeline.tables.libraries import Libraries
from pipeline.tables.masters.project import kept_folder

logger = logging.getLogger(__name__)

_QUIET = ("--no-input", "--disable-pip-version-check", "--no-color", "--no-compile")
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONPATH")
"""Variables with which pip would install, or see packages, somewhere else."""

_FULL = re.compile(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT})\]")
_SAID = re.compile(
    r"^(?:ERROR|error): (?!ResolutionImpossible)(.+)$|^ {4}(The user requested .+|\S+ .* depends on .+)$"
)
_CONSTRAINT = "The user requested (constraint) "
_PLACE = re.compile(r" ?\(from line \d+ of [^)]*\)| ?\(line \d+\)|(?<=Cannot install) -r \S+")
_NUMBER = re.compile(r"\bline (\d+)\b")
_NAME = re.compile(r"\s*([^\s;#<>=!~\[@]+)")


class BadRequirements(UsageError):
    """A requirements file asks for what cannot be installed. ``line`` counts from 1; 0 if pip blames none."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(file, line, problem)
        self.file, self.line, self.problem = file, line, problem

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.problem}"


def installed(file: Path) -> Libraries:
    """Install what a requirements file asks for beside this installation, whose packages keep their versions.

    pip sees those as installed, so only what is missing is brought. The digest names each package that is, by its
    version and the hash of the file, or the commit, that it comes from.

    Raises:
        BadRequirements: pip refuses it, or it names a folder, whose content nothing records.
        ScratchFailed: the temporary folder is full, or cannot be written.
    """
    base = kept_folder() / f"requirements-{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    try:
        return _installed(file, base)
    except OSError as error:
        raise ScratchFailed(str(base), error.strerror or str(error)) from error


def _installed(file: Path, base: Path) -> Libraries:
    venv.EnvBuilder(clear=True, symlinks=True).create(base)
    (packages,) = base.glob("lib/python*/site-packages")
    seen = packages / "installation.pth"
    seen.write_text("\n".join(site.getsitepackages()))
    keep, report = base / "keep.txt", base / "report.json"
    keep.write_text("".join(f"{each.name}=={each.version}\n" for each in distributions() if each.name))
    command = [
        "env", *(f"--unset={name}" for name in _ELSEWHERE),
        sys.executable, "-m", "pip", "--python", str(base / "bin" / "python"), "install", *_QUIET,
        "--report", str(report), "--constraint", str(keep), "--requirement", str(file),
    ]  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise refusal(file, base, done.stdout)
    seen.unlink()
    brought = json.loads(report.read_bytes())["install"]
    digest = _digest(file, brought)
    names = sorted(f"{each['metadata']['name']}=={each['metadata']['version']}" for each in brought)
    logger.info("pip installed %s for %s, as --requirements=%s", ", ".join(names) or "nothing", file, digest)
    return Libraries("requirements", digest, packages)


def refusal(file: Path, base: Path, said: str) -> BadRequirements | ScratchFailed:
    """What pip said, as an error that names the line of the file, unless its folder ``base`` is full.

    Args:
        said: all output of pip.
    """
    full = _FULL.search(said)
    if full is not None:
        return ScratchFailed(str(base), os.strerror(int(full[1])))
    told = [found[1] or found[2] for line in said.splitlines() if (found := _SAID.match(line))]
    problem = one_line("; ".join(told) or said.strip().rpartition("\n")[2] or "pip says nothing")
    words = _PLACE.sub("", problem).replace(_CONSTRAINT, "this installation has ")
    return BadRequirements(str(file), _line(file, problem) if told else 0, words)


def _line(file: Path, problem: str) -> int:
    """The line that pip blames: by its number, or else the first whose package, file or option it names."""
    number = _NUMBER.search(problem)
    if number is not None:
        return int(number[1])
    for count, line in enumerate(_lines(file), 1):
        name = _NAME.match(line)
        word = name[1].rpartition("/")[2] if name else ""
        if word and re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", problem, re.IGNORECASE):
            return count
    return 0


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _digest(file: Path, packages: list[dict[str, Any]]) -> str:
    """SHA-256 over pip's report of what it has installed, in hexadecimal."""
    found = []
    for package in packages:
        name, source = package["metadata"]["name"], package["download_info"]
        if "dir_info" in source:
            raise BadRequirements(str(file), _line(file, name), f"{name} comes from a folder; build a wheel of it")
        origin = source.get("archive_info", {}).get("hashes") or source.get("vcs_info") or source["url"]
        found.append((name, package["metadata"]["version"], origin))
    return hashlib.sha256(json.dumps(sorted(found), sort_keys=True).encode()).hexdigest()
