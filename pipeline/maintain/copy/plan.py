"""Which files a copy lacks, in which order it gets them, and which it has to lose. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from pipeline.storage.interface import Entry

MOST_SKEW_S = 3600.0
"""Clocks of two storages differ by less."""


class Turn(IntEnum):
    """When a file is written: after all that it names."""

    DATA = 0
    MANIFEST = 1
    MANIFEST_LIST = 2
    DOCUMENT = 3


@dataclass(frozen=True, slots=True)
class File:
    """A file that a copy must have.

    Attributes:
        modified_at: in seconds since 1970 UTC on the original's clock; None for a file that is written once, under a
            name that no other ever has.
    """

    path: str
    size_bytes: int
    turn: Turn
    modified_at: float | None = None


def missing(wanted: Iterable[File], there: Mapping[str, Entry]) -> list[File]:
    """Those that a copy does not have as they are, in the order in which to write them."""
    lacking = [file for file in wanted if file.path not in there or not _same(file, there[file.path])]
    return sorted(lacking, key=lambda file: (file.turn, file.path))


def surplus(wanted: Collection[str], there: Iterable[str]) -> list[str]:
    """Paths that a copy has and must not have, sorted. Delete them when nothing that counts names them any more."""
    return sorted(path for path in there if path not in wanted)


def _same(file: File, entry: Entry) -> bool:
    if entry.size_bytes != file.size_bytes:
        return False
    return file.modified_at is None or file.modified_at + MOST_SKEW_S < entry.modified_at
