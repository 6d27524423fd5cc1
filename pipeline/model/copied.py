"""What a copy of an archive says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class CopyRecord(BaseModel):
    """``copy.json``: what a copy is of, and which of its files count. Replaced as a whole, as the last step of a copy.

    Attributes:
        of: the id that Iceberg gave the table ``origins`` of the original, which no other archive has.
        source: URI of the original's root.
        night: the newest night, None without one.
        sequence: number of the last commit to ``origins``.
        tables: path of the metadata of each table, by full name such as ``code.commits``. Empty before the first copy
            is complete.
        loads: names of the loads that are in these tables.
        documents: files outside the tables whose content changes, by path, and their content.
        marks: paths of what says that something is in these tables: results, slices of forges, checksums.
        relocating: this copy is on its way to be an archive of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: str
    source: str
    night: str | None
    sequence: int
    copied_at: datetime
    tables: Mapping[str, str] = {}
    loads: tuple[str, ...] = ()
    documents: Mapping[str, str] = {}
    marks: tuple[str, ...] = ()
    relocating: bool = False

    def to_bytes(self) -> bytes:
        """As the file is written."""
        return self.model_dump_json(indent=1).encode()
