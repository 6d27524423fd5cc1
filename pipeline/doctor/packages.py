"""Python, and the packages that this one asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError

from packaging.requirements import Requirement

from pipeline.doctor.finding import Finding, machine_failure, ok, warning

OLDEST_PYTHON = (3, 11)
REINSTALL = "install it again: scripts/setup"


def check_python(version: tuple[int, int, int]) -> Finding:
    """The interpreter, by the first three of ``sys.version_info``."""
    shown = ".".join(map(str, version))
    if version[:2] < OLDEST_PYTHON:
        return machine_failure(
            "python", f"Python {shown} is too old", "install Python 3.11 or newer, then scripts/setup"
        )
    return ok("python", f"Python {shown}")


def check_packages(requirements: Iterable[str], version_of: Callable[[str], str]) -> Iterator[Finding]:
    """Each required package against its range.

    Args:
        requirements: as ``importlib.metadata.requires`` gives them; those of extras are passed over.
        version_of: ``importlib.metadata.version``.
    """
    fitting = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, bounds = requirement.name, requirement.specifier
        try:
            version = version_of(name)
        except PackageNotFoundError:
            yield machine_failure("packages", f"{name} is not installed", REINSTALL)
            continue
        if bounds.contains(version, prereleases=True):
            fitting.append(f"{name} {version}")
        else:
            yield machine_failure("packages", f"{name} {version} is not within {bounds}", REINSTALL)
    yield ok("packages", f"{len(fitting)} as required: {', '.join(sorted(fitting))}")


def check_compiled(lacking: Sequence[str]) -> Finding:
    """The compiled parts of dulwich, of which those are given that cannot be loaded."""
    if lacking:
        return warning(
            "dulwich",
            f"{', '.join(lacking)} cannot be loaded; packs are decoded ten times slower without",
            "install a wheel of dulwich for this platform, or one of its source with a Rust compiler at hand",
        )
    return ok("dulwich", "has its compiled parts")
