"""Files of no more use: their paths, their sizes and why they may go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from pipeline.model.layout import WAREHOUSE
from pipeline.model.tables import NAMESPACE
from pipeline.storage.errors import StorageError
from pipeline.storage.interface import Storage
from pipeline.storage.paths import parent_of

_THREADS = 16
_DATA_DEPTH = f"{WAREHOUSE}/{NAMESPACE}/TABLE/data".count("/")


class Why(StrEnum):
    """Why something may go."""

    LANDING = "landing of a published load"
    ATTEMPT = "attempt that no manifest names"
    UPLOAD = "upload that was never finished"
    PLAN = "plan of a complete load, beyond the retention"
    EVIDENCE = "what an audit left out of a load, beyond the retention"
    UNREFERENCED = "no snapshot refers to it"
    EXPIRED = "only expired snapshots refer to it"


@dataclass(frozen=True, slots=True)
class Rubbish:
    """A file, or a folder with all its contents. ``path`` is relative to the archive's root."""

    path: str
    why: Why
    files: int
    size_bytes: int


def load_of(path: str, table: str) -> str | None:
    """The load in whose folder of a table a path is; None for files that Spark wrote, and for metadata.

    >>> load_of("tables/code/refs/data/2026-11-24/bucket=3/x.parquet", "refs")
    '2026-11-24'
    >>> load_of("tables/code/refs/data/bucket=3/00000-1.parquet", "refs") is None
    True
    """
    inside = path.removeprefix(f"{WAREHOUSE}/{NAMESPACE}/{table}/data/")
    folder = inside.partition("/")[0]
    return None if inside == path or "=" in folder or folder == inside else folder


def may_go(paths: Iterable[str], table: str, published: Collection[str]) -> list[str]:
    """Those unreferenced files of a table that nobody will need.

    Files in the folder of an unpublished load stay: Publish moves files there before it registers them, and the next
    run registers those that a killed run moved.

    Args:
        published: names of the published loads.
    """
    return [path for path in paths if (load := load_of(path, table)) is None or load in published]


def measured(storage: Storage, uris: Mapping[str, str], why: Why) -> tuple[tuple[Rubbish, ...], tuple[str, ...]]:
    """Those of some files that exist, as rubbish and as URIs.

    Args:
        uris: by path.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = [entry for entry in pool.map(storage.stat, uris) if entry is not None]
    rubbish = tuple(Rubbish(entry.path, why, 1, entry.size_bytes) for entry in found)
    return rubbish, tuple(uris[entry.path] for entry in found)


def remove_empty(storage: Storage, folders: Collection[str]) -> None:
    """Remove those of some folders of data files that are empty, and parent folders that are empty then."""
    for path in sorted(folders):
        folder = path
        while folder.count("/") > _DATA_DEPTH and not storage.list(folder):
            try:
                storage.delete(folder)
            except StorageError:
                break  # another process has just put a file there
            folder = parent_of(folder)
