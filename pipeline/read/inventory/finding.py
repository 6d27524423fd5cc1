"""What a check found: things that are wrong, named as exactly as possible."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kind of a finding, as a stable code."""

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
    """One thing that is wrong. Fields that are unknown, or do not apply, are empty.

    Attributes:
        path: file below the archive's root.
        table: full name, such as ``code.commits``.
        oid: hexadecimal.
        nights: names of the nights that read the file; empty if only the current state does.
        count: number of objects that it stands for; ``oid`` is an example of them.
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
