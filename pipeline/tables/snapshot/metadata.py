"""A table's current metadata: its snapshots, tags and properties."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.layout import WAREHOUSE
from pipeline.model.tables import NAMESPACE
from pipeline.storage.bytes import read_checked
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

HINT = "version-hint.text"
"""Beside the versions: the number of the newest, for Iceberg, which searches from there."""

_VERSION = re.compile(r"v(\d+)\.metadata\.json")


@dataclass(frozen=True, slots=True)
class TableMetadata:
    """What the newest version of a table's metadata says.

    Attributes:
        path: path of that version, below the archive's root.
        lists: the URI of the manifest list of each snapshot.
        tags: snapshots by tag.
        current: the current snapshot, None for a table that never had one.
        location: the URI of the table's folder, as it was when the table was made.
        summary: Iceberg's counts for the current snapshot, empty without one.
        schema: the current one, as Iceberg writes it.
    """

    path: str
    lists: Mapping[int, str]
    tags: Mapping[str, int]
    current: int | None
    properties: Mapping[str, str]
    location: str
    summary: Mapping[str, str]
    schema: Mapping[str, Any]


def newest_metadata(storage: Storage, folder: str) -> tuple[int, str] | None:
    """Number and path of the newest, which is the current, version of a table's metadata."""
    versions = [
        (int(match[1]), entry.path)
        for entry in storage.list(f"{folder}/metadata")
        if (match := _VERSION.fullmatch(entry.path.rpartition("/")[2]))
    ]
    return max(versions, default=None)


def read_metadata(storage: Storage, table: str, namespace: str = NAMESPACE) -> TableMetadata | None:
    """The current metadata of a table; None if there is no such table.

    Args:
        namespace: that of the archive's own tables, or of results.

    Raises:
        StoredFileDamaged: the file cannot be read.
    """
    newest = newest_metadata(storage, f"{WAREHOUSE}/{namespace}/{table}")
    if newest is None:
        return None
    path = newest[1]
    try:
        document = json.loads(read_checked(storage, path))
        current = document.get("current-snapshot-id")
        current = None if current in (None, -1) else int(current)
        snapshots = {int(entry["snapshot-id"]): entry for entry in document.get("snapshots", ())}
        return TableMetadata(
            path,
            {id_: str(entry["manifest-list"]) for id_, entry in snapshots.items()},
            {name: int(to["snapshot-id"]) for name, to in document.get("refs", {}).items() if to["type"] == "tag"},
            current,
            dict(document.get("properties", {})),
            str(document["location"]),
            dict(snapshots[current].get("summary", {})) if current in snapshots else {},
            next(
                (each for each in document.get("schemas", ()) if each["schema-id"] == document["current-schema-id"]), {}
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoredFileDamaged(path, f"its content is invalid: {error!r}"[:300]) from error
