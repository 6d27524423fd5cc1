"""Where the objects of one origin are, and its refs as of a night, read from files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.errors import UsageError
from pipeline.model.origin import OriginState
from pipeline.model.visit import ENDED_WELL
from pipeline.read.stored import StoredTables
from pipeline.rules.negotiation import Ref
from pipeline.tables.snapshot.rows import ROW_ID, Value

RANKED = ("network", "state", "last_visit", "added_at")
"""The columns of ``origins`` that ``rank`` needs."""


class OriginNotFound(UsageError):
    """The archive does not know this URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} is not an origin of this archive; add it first, or check its spelling"


class NotVisited(OriginNotFound):
    """By that night the archive had not visited such an origin."""

    def __str__(self) -> str:
        return (
            f"{self.url} is not an origin that was visited by that night; "
            f"`pipeline status {self.url}` shows whether it was later"
        )


class NeverArchived(UsageError):
    """No visit to the origin succeeded by that night, so its content is unknown."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} was never archived: no visit succeeded; `pipeline status {self.url}` shows why"


@dataclass(frozen=True, slots=True)
class Place:
    """The network of an origin, and its bucket."""

    network: int
    bucket: int


def place_of(tables: StoredTables, url: str) -> Place:
    """The place of an origin that was visited by the night.

    Raises:
        NotVisited: by that night the archive had not visited such an origin.
    """
    rows = tables.rows("origins", ["bucket", *RANKED], {"url": url}) if url not in tables.hidden.urls else ()
    visited = [row for row in rows if row["last_visit"] is not None]
    if not visited:
        raise NotVisited(url)
    best = min(visited, key=rank)
    return Place(best["network"], best["bucket"])


def rank(origin: Mapping[str, Any]) -> tuple[int, float, float, int]:
    """The order of ``tables.doubles.one_row_a_url``: of several rows of a URL, readers see the first."""
    set_by_people = {str(OriginState.OPTED_OUT): -2, str(OriginState.PAUSED): -1}.get(origin["state"], 0)
    last_visit = math.inf if origin["last_visit"] is None else -origin["last_visit"].timestamp()
    added_at = -math.inf if origin["added_at"] is None else origin["added_at"].timestamp()
    return set_by_people, last_visit, added_at, origin["network"]


def refs_of(tables: StoredTables, url: str, place: Place) -> dict[bytes, Ref]:
    """The refs of an origin by name: of each the change published last, as in ``tables.refs``, unless it deleted it.

    Raises:
        NeverArchived: no visit succeeded.
    """
    refs = {}
    for row in last_changes(tables, {"network": place.network, "origin": url}, place.bucket):
        name = _exact(row, "name")
        if name is not None:
            refs[name] = Ref(row["target"], _exact(row, "symref"))
    if not refs and not _ever_ended_well(tables, url, place.bucket):
        raise NeverArchived(url)
    return refs


def last_changes(tables: StoredTables, equal: Mapping[str, Value], bucket: int) -> list[dict[str, Any]]:
    """Rows of ``refs`` with some values: of each ref the change published last, unless it deleted the ref."""
    columns = ("network", "name", "name_raw", "night", "target", "symref", "symref_raw", ROW_ID)
    last: dict[tuple[int, str, bytes | None], dict[str, Any]] = {}
    for row in tables.rows("refs", columns, equal, bucket):
        key = row["network"], row["name"], row["name_raw"]
        if key not in last or row[ROW_ID] > last[key][ROW_ID]:
            last[key] = row
    return [row for row in last.values() if row["target"] is not None or _exact(row, "symref") is not None]


def _ever_ended_well(tables: StoredTables, url: str, bucket: int) -> bool:
    return any(row["status"] in ENDED_WELL for row in tables.rows("visits", ["status"], {"origin": url}, bucket))


def _exact(row: Mapping[str, Any], name: str) -> bytes | None:
    raw, text = row[f"{name}_raw"], row[name]
    return raw if raw is not None else None if text is None else text.encode()
