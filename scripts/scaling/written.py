"""What commits have added to the tables, from Iceberg's own counts, read as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from benchmarks.archive import Bed
from pipeline.read.inventory.named import table_folders
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.metadata import newest_metadata


@dataclass(frozen=True, slots=True)
class Added:
    """Data and delete files, and the rows added and removed in them; what a deletion vector had before counts once."""

    files: int = 0
    rows: int = 0
    size_bytes: int = 0

    def __sub__(self, other: Added) -> Added:
        return Added(self.files - other.files, self.rows - other.rows, self.size_bytes - other.size_bytes)


def added(bed: Bed) -> dict[str, Added]:
    """What all snapshots of each table have added so far, by name. No snapshot may have expired."""
    storage = bed.storage
    return {name.rpartition(".")[2]: _of(storage, folder) for name, folder in table_folders(storage).items()}


def since(bed: Bed, before: dict[str, Added]) -> dict[str, Added]:
    """What was added since; tables without news are left out."""
    news = {name: now - before.get(name, Added()) for name, now in added(bed).items()}
    return {name: each for name, each in news.items() if each != Added()}


def _of(storage: Storage, folder: str) -> Added:
    newest = newest_metadata(storage, folder)
    document: dict[str, Any] = {} if newest is None else json.loads(storage.read(newest[1]))
    summaries = [snapshot["summary"] for snapshot in document.get("snapshots", ())]

    def total(*keys: str) -> int:
        return sum(int(summary.get(key, 0)) for summary in summaries for key in keys)

    removed = sum(
        max(int(summary.get("added-position-deletes", 0)) - int(summary.get("removed-position-deletes", 0)), 0)
        for summary in summaries
    )
    return Added(
        total("added-data-files", "added-delete-files"),
        total("added-records") + removed,
        total("added-files-size"),
    )
