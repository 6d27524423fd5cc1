"""URIs, as Iceberg writes them, and paths in an archive."""

from __future__ import annotations

from pipeline.storage.errors import StorageError
from pipeline.storage.interface import Storage


def path_below_root(storage: Storage, uri: str) -> str:
    """A file's path below the archive's root.

    Raises:
        StorageError: the file is outside the archive.
    """
    path = storage.path_of(uri)
    if path is None:
        raise StorageError(uri, f"a file outside the archive at {storage.root_uri}")
    return path
