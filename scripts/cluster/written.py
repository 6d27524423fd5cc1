"""What a night writes to each table, and how much of it is what changed."""

from __future__ import annotations

from dataclasses import dataclass

from cluster import assumed
from cluster.rows import row_bytes
from pipeline.model.tables import HEAD_BLOBS, ORIGINS, REPOSITORIES, VISITS
from pipeline.tables.change import is_written_anew

LANDED, ANEW, BY_ROW = "landed", "buckets anew", "rows, and deletion vectors"

VECTOR_ROW_BYTES, CONTAINER_BYTES, CONTAINER_ROWS = 2, 8, 65_536
"""A deletion vector has so many bytes per removed row, and per container of so many positions that has one: the format
of Roaring bitmaps."""

VECTOR_NIGHTS = 7
"""Nights whose removed rows a vector has at most: it is written whole, until a weekly maintenance merges it."""


@dataclass(frozen=True, slots=True)
class Written:
    """Of a table: rows that a night adds and removes, how, the bytes that it writes, and those of them that changed."""

    table: str
    new: float
    gone: float
    how: str
    bytes: float
    changed_bytes: float


@dataclass(frozen=True, slots=True)
class Change:
    """Rows added to a table and removed, rows in the touched buckets before, and bytes of what differs in the world."""

    table: str
    row_bytes: float
    new: float
    gone: float
    rows: float
    changed_bytes: float


def written(change: Change) -> Written:
    """How ``change_rows`` would write a change."""
    rows = change.rows - change.gone + change.new
    if is_written_anew(int(rows), int(change.new), int(change.gone)):
        how, size = ANEW, rows * change.row_bytes
    else:
        how, size = BY_ROW, change.new * change.row_bytes + vector_bytes(change.gone * VECTOR_NIGHTS, change.rows)
    return Written(change.table, change.new, change.gone, how, size, change.changed_bytes)


def vector_bytes(gone: float, rows: float) -> float:
    """Bytes of deletion vectors of some rows that lie anywhere among the rows of their files."""
    return gone * VECTOR_ROW_BYTES + min(gone, rows / CONTAINER_ROWS) * CONTAINER_BYTES


@dataclass(frozen=True, slots=True)
class Moved:
    """What a night found: visits, changed origins, and rows by the rules of lines.

    Attributes:
        landed_bytes: of new objects.
        files: rows added to ``files`` and removed, rows that it has, and bytes of the paths that differ.
        blobs: blobs that are new at HEAD, and no longer there.
    """

    visits: float
    changed: float
    landed_bytes: float
    files: tuple[float, float, float, float]
    blobs: tuple[float, float]


def night_bytes(moved: Moved) -> tuple[Written, ...]:
    """What a night writes, by table. Every visit is a row of ``visits``, and replaces that of its origin."""
    origin, visit, repository, blob = (row_bytes(table) for table in (ORIGINS, VISITS, REPOSITORIES, HEAD_BLOBS))
    added, removed, stored, changed_bytes = moved.files
    fresh, gone = moved.blobs
    return (
        Written("objects and refs", 0, 0, LANDED, moved.landed_bytes, moved.landed_bytes),
        Written(VISITS.name, moved.visits, 0, LANDED, moved.visits * visit, moved.changed * visit),
        *map(
            written,
            (
                Change("files", assumed.FILE_ROW_BYTES, added, removed, stored, changed_bytes),
                Change(HEAD_BLOBS.name, blob, fresh, gone, stored, fresh * blob),
                Change(
                    REPOSITORIES.name, repository, moved.changed, moved.changed, moved.visits,
                    moved.changed * repository,
                ),
                Change(ORIGINS.name, origin, moved.visits, moved.visits, moved.visits, moved.changed * origin),
            ),
        ),
    )  # fmt: skip
