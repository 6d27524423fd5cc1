"""Archives that are elsewhere than where they were made: their tables name files by that place."""

from __future__ import annotations

from pipeline.model.errors import UsageError
from pipeline.model.layout import COPY, WAREHOUSE
from pipeline.model.tables import NAMESPACE, ORIGINS
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.metadata import TableMetadata, read_metadata

ALLOWED = "only `status`, `origins list`, `restore`, and what Python reads without Spark work"
_FOLDER = f"{WAREHOUSE}/{NAMESPACE}/{ORIGINS.name}"


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
