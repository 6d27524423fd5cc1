"""The manifest of a fetch task: what it landed, and how each visit ended."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field

from pipeline.model.visit import VisitStatus


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class LandedFile(_Record):
    """One Parquet file. ``path`` is relative to the archive's root; ``sha256`` is hexadecimal."""

    table: str
    path: str
    rows: int
    size_bytes: int
    raw_bytes: int
    sha256: str


class VisitLine(_Record):
    """One visit, as the summary needs it. The row in ``visits`` holds the same and more."""

    origin: str
    network: int
    status: VisitStatus
    error: str | None
    detail: str | None
    head_moved: bool
    refs_changed: int
    pack_bytes: int
    objects: int
    duration_s: float


class Manifest(_Record):
    """Written last by a fetch task. Without a manifest, the task never happened.

    ``attempt`` names one try of the task, and the folder of what it landed. ``damaged`` are files of the archive that
    could not be read, so that origins were not archived.
    """

    load: str
    night: date
    attempt: str = Field(alias="run_id")
    bucket: int
    host: str
    written_at: datetime
    fetch_s: float
    files: tuple[LandedFile, ...]
    visits: tuple[VisitLine, ...]
    damaged: tuple[str, ...] = ()
