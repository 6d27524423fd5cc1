"""What can go wrong with stored files; each error carries its path."""

from __future__ import annotations

from pipeline.model.errors import CheckFailed, ExitCode, PipelineError
from pipeline.model.redact import one_line


class StorageError(PipelineError):
    """The storage refused or cannot execute a call; a retry does not help."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path or 'the root'}: {self.problem}"


class StorageUnavailable(StorageError):
    """No answer in time, or the servers say "later". Whether a write happened is unknown."""

    retryable = True

    def __str__(self) -> str:
        return f"{super().__str__()}. Try again later; if it persists, check that NameNode and DataNodes run"


class FileMissing(StorageError):
    """There is no such file."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "no such file")
        self.args = (path,)

    def __str__(self) -> str:
        return f"{self.path}: no such file. If it should exist, run the step that writes it again"


class AlreadyThere(StorageError):
    """A file or folder has this name; it was not overwritten."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "there is a file or folder of this name")
        self.args = (path,)

    def __str__(self) -> str:
        return f"{self.path}: already exists and is unchanged. Use another name, or delete it first if it is rubbish"


class UploadMismatch(StorageError):
    """A file read back differs from what was sent; nothing appeared under the final name."""

    retryable = True

    def __init__(self, path: str, sent: str, stored: str) -> None:
        super().__init__(path, f"sent {sent}, read back {stored}")
        self.args = (path, sent, stored)
        self.sent, self.stored = sent, stored

    def __str__(self) -> str:
        return f"{super().__str__()}. Upload it again; if it recurs, suspect the network or a disk"


class LeaseLost(StorageError):
    """This run no longer holds the archive: its lease ran out or another run took it over."""

    exit_code = ExitCode.ARCHIVE_HELD

    def __str__(self) -> str:
        return f"{super().__str__()}. This run may not write any more; start it again"


CANNOT_BE_READ, WHAT_TO_DO = " cannot be read: ", ". Restore it with `pipeline fsck --repair`"
"""Parts of the message of ``StoredFileDamaged``, by which one that Spark quotes is recognised."""


class StoredFileDamaged(CheckFailed):
    """A file of the archive cannot be decoded, or is gone. ``path`` is its URI or path, "" if unknown.

    A library's message about damaged bytes may contain them: ``problem`` is made safe to show.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, one_line(problem)

    def __str__(self) -> str:
        name = self.path or "a stored file, named in the log,"
        return f"{name}{CANNOT_BE_READ}{self.problem}{WHAT_TO_DO}"
