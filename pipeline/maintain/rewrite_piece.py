"""Compacts one piece of a bucket: sorts its rows, compresses them harder, uploads the files. Runs in a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from pipeline.fetch.contents_file import CONTENT, ContentsFile, PageBuffer, values
from pipeline.fetch.page_compression import compacting
from pipeline.fetch.parquet import MIB
from pipeline.maintain.sorted_rows import fetch, in_order, parts, read_at_head, spool
from pipeline.maintain.sources import Piece, Source
from pipeline.model.layout import WAREHOUSE
from pipeline.model.tables import NAMESPACE, Table
from pipeline.rules.compaction import COMPACTED
from pipeline.storage.interface import Storage, Uploaded
from pipeline.storage.scratch import locked_folder

FILE_BYTES = 512 * MIB
HEAD_FILE_BYTES = 64 * MIB
"""Where HEAD ends, a file of at least this size ends too, so that a scan of HEAD does not open what follows."""

ONE_PAGE_BYTES = 320 * MIB
"""More than a row group has, so that contents that are not at HEAD are one page: zstd sees nothing across pages
(decisions 12, 70, and 72)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a compacted piece is written: zstd level, raw bytes of a row group, and bytes of files."""

    level: int
    group_bytes: int
    file_bytes: int = FILE_BYTES
    head_file_bytes: int = HEAD_FILE_BYTES


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A piece that is written and uploaded, in order."""

    rows: int
    files: tuple[Uploaded, ...]


def rewrite(
    storage: Storage,
    table: Table,
    bucket: int,
    piece: Piece,
    at_head: Sequence[Source] | None,
    layout: Layout,
    scratch: Path | None,
) -> Rewritten:
    """Rewrite a piece. Nothing refers to the new files until somebody commits them; a second run makes others.

    Args:
        at_head: the data files of ``head_blobs`` of the bucket, to set ``at_head`` from; None to keep it.
        scratch: a local folder, which need not exist; None for the machine's own. It holds the piece's raw bytes and
            its new files.

    Raises:
        StoredFileDamaged: a file is damaged or gone.
        StorageError: a file cannot be read or written.
        ScratchFailed: the disk of ``scratch`` is full.
    """
    with (
        locked_folder(scratch or Path(tempfile.gettempdir()) / "git-lakehouse", "compact") as folder,
        (folder / "spool").open("w+b") as spooled,
    ):
        keys = spool(storage, table, piece, spooled)
        spooled.flush()
        heads = None if at_head is None else read_at_head(storage, at_head, keys)
        rows = in_order(keys, heads)
        del keys, heads
        made = Files(table, folder, layout)
        for part in parts(rows, layout.group_bytes):
            made.write(fetch(table, part, spooled), at_head=part.at_head)
        name = f"{WAREHOUSE}/{NAMESPACE}/{table.name}/data/bucket={bucket}/{COMPACTED}{uuid4().hex}"
        sent = [storage.upload(path, f"{name}-{n}.parquet") for n, path in enumerate(made.finish())]
    return Rewritten(len(rows), tuple(sent))


@dataclass(slots=True)
class Files:
    """Writes row groups as they come, in files of bounded size."""

    table: Table
    folder: Path
    layout: Layout
    paths: list[Path] = field(default_factory=list)
    writer: ContentsFile | None = None
    heads: bool = False
    pages: PageBuffer = field(init=False)

    def __post_init__(self) -> None:
        self.pages = PageBuffer(ONE_PAGE_BYTES, compacting(self.layout.level))

    def write(self, rows: pa.Table, *, at_head: bool) -> None:
        """Write one row group; those at HEAD come first."""
        if self.writer is not None and self._full(ended=self.heads and not at_head):
            self._close()
        if self.writer is None:
            self.paths.append(self.folder / f"{len(self.paths)}.parquet")
            self.writer = ContentsFile(self.table, self.paths[-1], self.layout.level)
        self.heads = at_head
        contents = [value for chunk in rows[CONTENT].chunks for value in values(chunk)]
        self.writer.write_group(rows.drop_columns([CONTENT]), self.pages.pages(contents, at_head=at_head))

    def finish(self) -> list[Path]:
        """Close, and return the files in order."""
        self._close()
        return self.paths

    def _full(self, *, ended: bool) -> bool:
        """Whether the next row group begins another file; ``ended``: it is the first of the history."""
        written = self.paths[-1].stat().st_size
        return written >= self.layout.file_bytes or (ended and written >= self.layout.head_file_bytes)

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
