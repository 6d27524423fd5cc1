"""What a check found: which thing is not what it must be, named as exactly as is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong, as a stable code."""

    FILE_MISSING = "file_missing"
    FILE_SIZE = "file_size"
    FILE_CHECKSUM = "file_checksum"
    FILE_UNREADABLE = "file_unreadable"
    SIDE_CHECKSUM = "side_checksum"
    VERSION_HINT = "version_hint"
    NIGHT_INCOMPLETE = "night_incomplete"
    LOAD_DISAGREES = "load_disagrees"
    OBJECT_DAMAGED = "object_damaged"
    OBJECT_MISSING = "object_missing"
    OBJECT_DOUBLED = "object_doubled"
    CONTENT_DISAGREES = "content_disagrees"
    DERIVED_DISAGREES = "derived_disagrees"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. What is not known, or does not apply, is empty.

    Attributes:
        path: file below the archive's root.
        table: ``code.commits`` and the like.
        oid: hexadecimal.
        nights: that read the file, by name; empty if only the current state does.
        count: how many objects it stands for, of which ``oid`` is an example.
    """

    kind: Kind
    problem: str
    path: str = ""
    table: str = ""
    bucket: int | None = None
    network: int | None = None
    oid: str = ""
    nights: tuple[str, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        where = [
            self.table,
            "" if self.bucket is None else f"bucket {self.bucket}",
            "" if self.network is None else f"network {self.network}",
            self.path,
            self.oid,
        ]
        said = f"{', '.join(part for part in where if part) or 'archive'}: {self.problem}"
        return said + (f" (read by {', '.join(self.nights)})" if self.nights else "")
