"""The finding of a check: how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.model.errors import ExitCode


class Level(StrEnum):
    """``ok``: nothing to do. ``warning``: a night can run. ``failure``: it cannot, or its result is wrong."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was checked.
        found: a sentence.
        advice: what to do; "" if all is well.
        exit_code: exit code of the command, if this is a failure.
    """

    check: str
    level: Level
    found: str
    advice: str = ""
    exit_code: ExitCode = ExitCode.DONE


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, advice: str) -> Finding:
    """Somebody should look into it."""
    return Finding(check, Level.WARNING, found, advice)


def machine_failure(check: str, found: str, advice: str) -> Finding:
    """A failure of this machine, its software or the storage."""
    return Finding(check, Level.FAILURE, found, advice, ExitCode.RUN_FAILED)


def settings_failure(check: str, found: str, advice: str) -> Finding:
    """A failure in the configuration."""
    return Finding(check, Level.FAILURE, found, advice, ExitCode.USAGE)


def damage(check: str, found: str, advice: str) -> Finding:
    """Damaged stored data."""
    return Finding(check, Level.FAILURE, found, advice, ExitCode.CHECK_FAILED)


_WORST_FIRST = (ExitCode.CHECK_FAILED, ExitCode.RUN_FAILED, ExitCode.USAGE)


def exit_code_of(findings: Iterable[Finding]) -> ExitCode:
    """0 without a failure; else 3 for damaged data before 5 for machine and storage before 2 for the configuration."""
    failed = {finding.exit_code for finding in findings if finding.level is Level.FAILURE}
    return next((code for code in _WORST_FIRST if code in failed), ExitCode.RUN_FAILED) if failed else ExitCode.DONE
