"""Python, and the packages that this one requires."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError

from pipeline.doctor.finding import Finding, machine_failure, ok, warning

OLDEST_PYTHON = (3, 11)
REINSTALL = "reinstall it: scripts/setup"

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*\(?([^;)]*)\)?\s*(;.*)?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9.]*)")


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
    for requirement in requirements:
        found = _REQUIREMENT.fullmatch(requirement.strip())
        if found is None or "extra" in (found[3] or ""):
            continue
        name, bounds = found[1], found[2].strip()
        try:
            version = version_of(name)
        except PackageNotFoundError:
            yield machine_failure("packages", f"{name} is not installed", REINSTALL)
            continue
        if fits(version, bounds):
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


def fits(version: str, bounds: str) -> bool:
    """Whether a version is within bounds such as ``<4.2,>=4.1.4``, by the leading numbers of both."""
    have = _numbers(version)
    return all(_holds(have, sign, _numbers(bound)) for sign, bound in _BOUND.findall(bounds))


def _holds(have: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    width = max(len(have), len(bound))
    mine, other = (numbers + (0,) * (width - len(numbers)) for numbers in (have, bound))
    return {
        ">=": mine >= other, "<=": mine <= other, "<": mine < other, ">": mine > other, "==": mine == other,
        "!=": mine != other,
    }[sign]  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
