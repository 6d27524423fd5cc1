"""What to export, and how: options that decide which bytes the shards hold."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator

from pipeline.rules.cluster import MIB

Format = Literal["parquet", "jsonl"]

SUFFIXES: dict[Format, str] = {"parquet": "parquet", "jsonl": "jsonl.gz"}
"""How the names of shards end."""

ROW_BYTES = 1024
"""What a row weighs in a shard besides its content and its texts, so that the number of rows is bounded too."""


class Selection(BaseModel):
    """Which files at HEAD, in which form.

    Attributes:
        languages: names as in ``head_blobs``, in lower case and sorted; empty for all known ones.
        licences: SPDX ids, in lower case and sorted: files that have no other licence; empty for all files.
        min_stars: only of origins that a forge lists with so many; 0 for all origins.
        min_bytes: least size of a file; all sizes may also be text, such as 10MB or 1MiB.
        max_bytes: greatest size of a file.
        vendored: keep files that are not a project's own.
        generated: keep files that a program wrote.
        near_dedup: of files that are nearly the same keep one.
        shard_bytes: greatest weight of a shard: raw bytes of contents and of texts about them, and ``ROW_BYTES`` per
            row; a row that weighs more counts as much.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    min_stars: int = Field(default=0, ge=0)
    min_bytes: ByteSize = Field(default=ByteSize(1), ge=0)
    max_bytes: ByteSize = Field(default=ByteSize(10 * MIB), ge=0)
    vendored: bool = False
    generated: bool = False
    near_dedup: bool = False
    format: Format = "parquet"
    shard_bytes: ByteSize = Field(default=ByteSize(256 * MIB), gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_bytes < self.min_bytes:
            raise ValueError(f"no file has at least {self.min_bytes} and at most {self.max_bytes} bytes")
        if self.max_bytes + ROW_BYTES > self.shard_bytes:
            raise ValueError(f"a file of {self.max_bytes} bytes does not fit into a shard of {self.shard_bytes}")
        return self
