"""The layout of every Parquet file that we write ourselves, landed or compacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.model.tables import Table
from pipeline.storage.parquet import SealedWriter

MIB = 1 << 20
PAGE_BYTES = 32 * MIB
"""Raw bytes of a page when landing: zstd sees nothing across pages, and a fetch task has little memory. The same for
every table: commits, whose messages resemble each other, are a hundredth smaller than with pages of 1 MiB."""

ZSTD_LEVEL = 9
"""Compression level when landing; small pages of contents have less, compaction has its own."""

VALUES_PER_CHECK = 16
"""Values between two checks of a page's size: 16 of the largest blobs still fit a Parquet page of 2 GiB."""

_BULK = frozenset({"content", "raw", "message", "signature", "extra", "parents"})
_REPEATING = frozenset(
    {"bucket", "network", "origin", "night", "run_id", "status", "error", "ext", "name", "is_binary", "stored"}
    | {"at_head", "target_type", "encoding", "symref"}
    | {f"{role}_{part}" for role in ("author", "committer", "tagger") for part in ("name", "email", "offset")}
)


def open_parquet(table: Table, path: Path, level: int, page_bytes: int) -> SealedWriter:
    """A new file for rows of a table, with statistics for searched columns and checksums for pages and footer.

    Args:
        level: zstd level.
        page_bytes: raw bytes after which a page ends.
    """
    return SealedWriter(path, table.arrow_schema, **parquet_options(table, level, page_bytes))


def parquet_options(table: Table, level: int = ZSTD_LEVEL, page_bytes: int = PAGE_BYTES) -> dict[str, Any]:
    """Options of Arrow's writer for rows of a table, as above."""
    bulk = any(c.name == "content" for c in table.columns)
    return {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": [c.name for c in table.columns if c.name in _REPEATING],
        "write_statistics": [c.name for c in table.columns if c.name not in _BULK],
        "data_page_size": page_bytes,
        "write_batch_size": VALUES_PER_CHECK if bulk else 1024,
        "store_schema": False,
    }
