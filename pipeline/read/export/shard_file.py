"""The file of one shard: Parquet, or a JSON object per line. The same rows in the same batches give the same bytes."""

from __future__ import annotations

import gzip
import json
import platform
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipeline.read.export.columns import ROWS
from pipeline.read.export.selection import Format
from pipeline.rules.cluster import MIB
from pipeline.storage.parquet import SealedWriter

GROUP_BYTES = 16 * MIB
"""Raw bytes of a row group, which a reader holds as a whole: a loader has many workers."""

_ALL_DIFFERENT = ("blob_id", "content_id", "path", "content")
_DICTIONARIES = [name for name in ROWS.names if name not in _ALL_DIFFERENT]
_LEVEL = {"zstd": 3, "gzip": 6}

Write = Callable[[pa.Table], None]
"""Takes rows with the columns of ``ROWS``."""


def writing_programs() -> dict[str, str]:
    """Versions of what decides the bytes besides this package."""
    return {"pyarrow": pa.__version__, "python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}


@contextmanager
def shard_file(path: Path, format_: Format) -> Iterator[Write]:
    """Write a local file, which is complete when the block has ended."""
    with _WRITERS[format_](path) as write:
        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    options = {"compression": "zstd", "compression_level": _LEVEL["zstd"], "use_dictionary": _DICTIONARIES}
    waiting: list[pa.Table] = []

    def write(rows: pa.Table) -> None:
        waiting.append(rows)
        if sum(table.nbytes for table in waiting) >= GROUP_BYTES:
            flush()

    def flush() -> None:
        if waiting:
            group = pa.concat_tables(waiting)
            writer.write_table(group, row_group_size=len(group))
            waiting.clear()

    with SealedWriter(path, ROWS, **options) as writer:
        yield write
        flush()


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    def write(rows: pa.Table) -> None:
        for row in rows.to_pylist():
            text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_iso)
            lines.write(text.encode() + b"\n")

    with path.open("wb") as file, gzip.GzipFile("", "wb", _LEVEL["gzip"], file, mtime=0) as lines:
        yield write


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


_WRITERS = {"parquet": _parquet, "jsonl": _jsonl}
