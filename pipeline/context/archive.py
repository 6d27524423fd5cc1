"""The archive itself: whether it exists, where it was made, its fixed number of buckets, and its loads."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cache

from pydantic import BaseModel, ConfigDict

from pipeline.model.errors import UsageError
from pipeline.model.layout import ARCHIVE, COPY, RUNS, WAREHOUSE, Load
from pipeline.model.tables import NAMESPACE, ORIGINS
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.metadata import TableMetadata, read_metadata

logger = logging.getLogger(__name__)

FORMAT = 5
"""Since 2, `files` has lines, and `repositories` root trees (decision 32).

Since 3, `head_blobs` says which files were generated, and licences (decision 45), and `origins` counts changes (44).

Since 4, `origins` keeps the kinds of signals (decision 63).

Since 5, `visits` and `origins` know the dates of commits (decision 66).
"""


ALLOWED = "only `status`, `origins list`, `restore`, and what Python reads without Spark work"
_FOLDER = f"{WAREHOUSE}/{NAMESPACE}/{ORIGINS.name}"


class NoArchive(UsageError):
    """There is no archive at the configured place."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return f"there is no archive at {self.location}; create one with `pipeline init`"


class ArchiveFormatUnknown(UsageError):
    """Another version of this program made the archive."""

    def __init__(self, location: str, found: int) -> None:
        super().__init__(location, found)
        self.location, self.found = location, found

    def __str__(self) -> str:
        return f"the archive at {self.location} has format {self.found}, this program knows {FORMAT}"


class ArchiveIsOlder(UsageError):
    """An earlier version of this program made the archive."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return (
            f"an earlier version made the archive at {self.location}: upgrade this program on every host that uses it, "
            "then run `pipeline upgrade`, which takes seconds and keeps every night"
        )


class ArchiveMoved(UsageError):
    """The archive is elsewhere than where it was made, and what was asked for needs it there."""

    def __init__(self, location: str, made_at: str) -> None:
        super().__init__(location, made_at)
        self.location, self.made_at = location, made_at

    def __str__(self) -> str:
        return (
            f"the archive at {self.location} was made at {self.made_at}, and its tables name their files there. Here "
            f"{ALLOWED}. For everything else move it back; or let it be an archive of this place with "
            "`pipeline relocate`"
        )


class ArchiveIsCopy(UsageError):
    """The archive is a copy, which only `pipeline copy` writes."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return (
            f"the archive at {self.location} is a copy of another one. Here {ALLOWED}. If the other one is lost, "
            "make the copy an archive of its own with `pipeline relocate`"
        )


class ArchiveInfo(BaseModel):
    """What ``archive.json`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    buckets: int
    created_at: datetime

    @classmethod
    def new(cls, buckets: int) -> ArchiveInfo:
        """An archive created now."""
        return cls(buckets=buckets, created_at=datetime.now(UTC).replace(microsecond=0))


def find_archive(storage: Storage) -> ArchiveInfo | None:
    """The archive at the storage's root, None without one.

    Raises:
        ArchiveIsOlder: it has to be upgraded.
        ArchiveFormatUnknown: its format is unknown.
        StoredFileDamaged: ``archive.json`` is unreadable.
    """
    info = find_any_archive(storage)
    if info is not None and info.format < FORMAT:
        raise ArchiveIsOlder(storage.root_uri)
    return info


def find_any_archive(storage: Storage) -> ArchiveInfo | None:
    """As ``find_archive``, but it may be older."""
    try:
        info = read_document(storage, ARCHIVE, ArchiveInfo.model_validate_json)
    except FileMissing:
        return None
    if not 1 <= info.format <= FORMAT:
        raise ArchiveFormatUnknown(storage.root_uri, info.format)
    return info


def archive_info(storage: Storage) -> ArchiveInfo:
    """The archive at the storage's root.

    Raises:
        NoArchive, ArchiveIsOlder, ArchiveFormatUnknown: as they say.
    """
    info = find_archive(storage)
    if info is None:
        raise NoArchive(storage.root_uri)
    return info


def former_root(storage: Storage, origins: TableMetadata | None) -> str | None:
    """The URI of the root where an archive was made, None if it still is there.

    Args:
        origins: metadata of its table ``origins``; None if it has none.
    """
    if origins is None or storage.path_of(origins.location) == _FOLDER or not origins.location.endswith(f"/{_FOLDER}"):
        return None
    return origins.location.removesuffix(f"/{_FOLDER}")


def check_place(storage: Storage) -> None:
    """Make sure that an archive, if there is one, is where it was made. Damaged metadata say nothing.

    Raises:
        ArchiveIsCopy: it is a copy. One on another HDFS may have the path of the original, but not its host.
        ArchiveMoved: it is elsewhere.
    """
    if storage.stat(COPY) is not None:
        raise ArchiveIsCopy(storage.root_uri)
    try:
        found = former_root(storage, read_metadata(storage, ORIGINS.name))
    except StoredFileDamaged:
        return
    if found is not None:
        raise ArchiveMoved(storage.root_uri, found)


def begun_loads(storage: Storage) -> dict[Load, bool]:
    """Loads that have begun, by name and thus by time, and whether each is finished."""
    return {load: storage.stat(load.finished) is not None for load in named_loads(storage)}


def named_loads(storage: Storage) -> list[Load]:
    """Loads that have a folder, by name. Other folders, such as copies, are ignored, with one warning each."""
    loads = []
    for entry in storage.list(RUNS):
        load = Load.named(entry.path.rpartition("/")[2]) if entry.is_dir else None
        if load is not None:
            loads.append(load)
        elif entry.is_dir:
            _warn_of_stray(storage.uri(entry.path))
    return loads


@cache
def _warn_of_stray(uri: str) -> None:
    logger.warning("%s is not a load's folder and is ignored; move it out of %s/", uri, RUNS)
