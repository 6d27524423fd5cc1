"""The manifest of a fetch task: what it landed, and how many visits ended how."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.model.visit_counts import ListedVisit, VisitCounts, count_visits


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class LandedFile(_Record):
    """One Parquet file. ``path`` is relative to the archive's root; ``sha256`` is hexadecimal."""

    table: str
    path: str
    rows: int
    size_bytes: int
    raw_bytes: int
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(_Record):
    """Written last by a fetch task. Without a manifest, the task never happened.

    ``attempt`` names one try of the task, and the folder of what it landed; in the file its key is ``run_id``.
    ``visits`` only counts them: the visits themselves are rows of a landed file. ``damaged`` are files of the archive
    that could not be read, so that origins were not archived.
    """

    load: str
    night: date
    attempt: str = Field(alias="run_id")
    bucket: int
    host: str
    written_at: datetime
    fetch_s: float
    files: tuple[LandedFile, ...]
    visits: VisitCounts
    damaged: tuple[str, ...] = ()

    @field_validator("visits", mode="before")
    @classmethod
    def _of_lines(cls, visits: object) -> object:
        """Earlier versions listed every visit."""
        return count_visits(map(ListedVisit.model_validate, visits)) if isinstance(visits, list | tuple) else visits
