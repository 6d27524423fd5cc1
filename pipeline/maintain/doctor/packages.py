"""Python, and the packages that this one requires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError

from packaging.requirements import Requirement

from pipeline.maintain.doctor.finding import Finding, machine_failure, ok, warning

OLDEST_PYTHON = (3, 11)
REINSTALL = "reinstall it: scripts/setup"


def check_python(version: tuple[int, int, int]) -> Finding:
    """Check the interpreter's version, the first three fields of ``sys.version_info``."""
    shown = ".".join(map(str, version))
    if version[:2] < OLDEST_PYTHON:
        return machine_failure(
            "python", f"Python {shown} is too old", "install Python 3.11 or newer, then scripts/setup"
        )
    return ok("python", f"Python {shown}")


def check_packages(requirements: Iterable[str], version_of: Callable[[str], str]) -> Iterator[Finding]:
    """Check each required package against its version range.

    Args:
        requirements: as ``importlib.metadata.requires`` returns them; those of extras are skipped.
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
    """Judge dulwich by those of its compiled parts that cannot be loaded."""
    if lacking:
        return warning(
            "dulwich",
            f"{', '.join(lacking)} cannot be loaded; without it, decoding packs is ten times slower",
            "install a dulwich wheel for this platform, or build it from source with a Rust compiler",
        )
    return ok("dulwich", "has its compiled parts")
