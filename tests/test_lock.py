"""The lock holds a version of everything that an installation needs, and this one has those versions."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"atheris", "datasets", "requests-kerberos", "torch", "torchdata"}
"""What the tests do without: scripts/fuzz installs the first, the image has Kerberos, the extra ``training`` the rest,
three gigabytes."""


def lines_of_lock() -> list[Requirement]:
    text = (ROOT / "constraints.txt").read_text()
    return [Requirement(line) for line in (each.partition("#")[0].strip() for each in text.splitlines()) if line]


def locked() -> dict[str, str]:
    """The version of each package that the lock has for this Python and system."""
    lines = [line for line in lines_of_lock() if not line.marker or line.marker.evaluate()]
    return {line.name: str(line.specifier).removeprefix("==") for line in lines}


def asked_for() -> Iterator[Requirement]:
    """What setup.cfg asks for, with all its extras."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for section in (setup["options"]["install_requires"], *setup["options.extras_require"].values()):
        yield from (Requirement(line) for line in section.splitlines() if line)


def needed(requirement: Requirement) -> Iterator[Requirement]:
    """What a requirement leads to here, itself first; of a package that is not installed no more is known."""
    yield requirement
    try:
        further = distribution(requirement.name).requires or ()
    except PackageNotFoundError:
        return
    for each in map(Requirement, further):
        if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            yield from needed(each)


def test_all_that_is_needed_is_locked_within_its_bounds() -> None:
    pins = locked()
    at_fault = {
        str(each)
        for requirement in asked_for()
        for each in needed(requirement)
        if (pin := pins.get(canonicalize_name(each.name))) is None or pin not in each.specifier
    }
    assert at_fault == set(), "scripts/lock mends it"


def test_every_line_of_the_lock_is_one_version() -> None:
    assert [str(line) for line in lines_of_lock() if [each.operator for each in line.specifier] != ["=="]] == []


def test_what_is_installed_is_what_is_locked() -> None:
    pins = locked()
    names = {canonicalize_name(each.name) for requirement in asked_for() for each in needed(requirement)} - ELSEWHERE
    installed = {name: str(Version(distribution(name).version)) for name in names}
    assert installed == {name: pins[name] for name in names}, "scripts/setup --dev mends it"
    assert len(names) > 60


def test_a_changed_lock_is_installed(tmp_path: Path) -> None:
    root, told = tmp_path / "root", tmp_path / "told"
    (root / "scripts").mkdir(parents=True)
    for name in ("setup.cfg", "constraints.txt", "scripts/environment"):
        shutil.copy(ROOT / name, root / name)
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    python.chmod(0o755)

    def installations() -> int:
        command = ["bash", "-euc", 'source scripts/environment; need_packages "[dev]"']
        environment = os.environ | {"PIPELINE_VENV": str(tmp_path / "venv")}
        subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True, timeout=60)
        return len(told.read_text().splitlines())

    assert [installations(), installations()] == [1, 1]
    assert f"--constraint {root}/constraints.txt --editable {root}[dev]" in told.read_text()
    with (root / "constraints.txt").open("a") as lock:
        lock.write("another==1\n")
    assert [installations(), installations()] == [2, 2]
