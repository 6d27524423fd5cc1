"""One family of errors; the type says what a caller may do about it.

``retryable`` says whether the same call may succeed later without any change. ``exit_code`` is what a command returns
when the error ends it (see ``ExitCode``). Errors build their message from attributes and pass their arguments to
``Exception`` unchanged, so that every error survives pickling between processes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the commands return. A command that an interrupt ends returns 128 and the signal's number, as in a shell."""

    DONE = 0
    SOME_ORIGINS_FAILED = 1
    USAGE = 2
    CHECK_FAILED = 3
    ARCHIVE_HELD = 4
    RUN_FAILED = 5


class PipelineError(Exception):
    """Base of all errors raised by this package."""

    retryable: ClassVar[bool] = False
    exit_code: ExitCode = ExitCode.RUN_FAILED


class UsageError(PipelineError):
    """The caller asked for something impossible; the message says what to do instead."""

    exit_code = ExitCode.USAGE


class CheckFailed(PipelineError):
    """Stored or landed data failed a check; nothing was published."""

    exit_code = ExitCode.CHECK_FAILED


class ScratchFailed(PipelineError):
    """Local scratch cannot be written. No origin is at fault, the task ends; free space and run it again."""

    retryable = True

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"scratch cannot be written at {self.path}: {self.why}. Free space there, or configure another folder"
