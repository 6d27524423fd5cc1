"""The Parquet files of one fetch task: rows collect in runs, runs become row groups, a failed origin leaves none.

Physical layout, measured for size (see docs/decisions): a run of contents is sorted so that versions of one file are
adjacent and zstd sees one after the other, those of a large visit come in about that order; objects at HEAD have row
groups of their own, so that a scan of HEAD never opens those of the history.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.contents_file import CONTENT, HEAD_PAGE_BYTES, ContentsFile, PageBuffer, values
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.parquet import MIB, PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.fetch.row_groups import content_groups, network_groups
from pipeline.model import tables
from pipeline.model.layout import landed_name
from pipeline.model.tables import Table
from pipeline.storage.parquet import SealedWriter

RUN_BYTES = 256 * MIB

_TREES_PART = 3 / 8
"""Of a run, 96 MiB. Trees that fill it are written: a run of them costs its bytes again for a page, and as they stay in
order of arrival, a longer one finds little more."""

_PART = 8
"""An eighth of a run. A table that holds so much is written when room is needed, although another one holds more: its
room is for what comes later. Rows at HEAD that wait for more have at most so much."""


def most_waiting(run_bytes: int) -> int:
    """Bytes of contents at HEAD that may wait for the next run."""
    return min(run_bytes // _PART, HEAD_PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The state of a run when the current origin began."""

    batches: int = 0
    held_bytes: int = 0
    raw_bytes: int = 0


@dataclass(slots=True)
class _Rows:
    """Batches, and the bytes of their large values."""

    batches: list[pa.RecordBatch]
    raw_bytes: int


@dataclass(slots=True)
class _Open:
    """A file that is being written. ``unsafe``: all of it belongs to the current origin, which may still fail."""

    path: Path
    writer: SealedWriter
    unsafe: bool
    rows: int = 0
    raw_bytes: int = 0


@dataclass(slots=True)
class _Run:
    """One table's unwritten batches, and its files: the finished ones and the one being written.

    ``held_bytes`` leaves out rows that wait (see ``keep``), ``batches`` and ``raw_bytes`` do not. ``adopted`` files are
    finished, too, but belong to the current origin, which may still fail.
    """

    table: Table
    folder: Path
    buffer: PageBuffer
    batches: list[pa.RecordBatch] = field(default_factory=list)
    held_bytes: int = 0
    raw_bytes: int = 0
    mark: _Mark = field(default_factory=_Mark)
    begun: int = 0
    open: _Open | None = None
    adopted: list[LocalFile] = field(default_factory=list)
    done: list[LocalFile] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, raw_bytes: int) -> None:
        """Add rows whose large values have so many bytes."""
        self.batches.append(batch)
        self.held_bytes += batch.nbytes
        self.raw_bytes += raw_bytes

    def keep(self, rows: _Rows) -> None:
        """Let rows wait, beside the run's bytes."""
        self.batches += rows.batches
        self.raw_bytes += rows.raw_bytes

    def take(self) -> tuple[_Rows, _Rows]:
        """What was added before the mark, and since; nothing is left."""
        mark = self.mark
        safe = _Rows(self.batches[: mark.batches], mark.raw_bytes)
        unsafe = _Rows(self.batches[mark.batches :], self.raw_bytes - mark.raw_bytes)
        self.batches, self.held_bytes, self.raw_bytes, self.mark = [], 0, 0, _Mark()
        return safe, unsafe

    def state(self) -> _Mark:
        """The mark of what is held now."""
        return _Mark(len(self.batches), self.held_bytes, self.raw_bytes)

    def note(self) -> None:
        """Remember the current state: what was written is safe."""
        self.mark = self.state()
        self.done += self.adopted
        self.adopted = []
        if self.open is not None:
            self.open.unsafe = False

    def writable(self, *, unsafe: bool) -> _Open:
        """A file to write to. Rows that may still be dropped do not share a file with rows that may not."""
        if self.open is not None and unsafe != self.open.unsafe:
            assert unsafe, "rows of earlier origins are written first"
            self.close()
        if self.open is None:
            path = self._next_path()
            self.open = _Open(path, self._writer(path), unsafe)
        return self.open

    def adopt(self, file: LocalFile) -> None:
        """Move a finished file of the current origin here."""
        path = self._next_path()
        file.path.rename(path)
        self.adopted.append(replace(file, path=path))

    def _next_path(self) -> Path:
        self.begun += 1
        return self.folder / landed_name(self.table.name, self.begun - 1)

    def _writer(self, path: Path) -> SealedWriter:
        if CONTENT in self.table.column_names:
            return ContentsFile(self.table, path)
        return open_parquet(self.table, path, ZSTD_LEVEL, PAGE_BYTES)

    def close(self) -> None:
        """Finish the file; the next rows begin another."""
        if self.open is not None:
            self.open.writer.close()
            self.done.append(LocalFile(self.table.name, self.open.path, self.open.rows, self.open.raw_bytes))
            self.open = None

    def drop(self) -> None:
        """Forget what was added since the mark."""
        del self.batches[self.mark.batches :]
        self.held_bytes, self.raw_bytes = self.mark.held_bytes, self.mark.raw_bytes
        for file in self.adopted:
            file.path.unlink()
        self.adopted = []
        if self.open is not None and self.open.unsafe:
            self.open.writer.abandon()
            self.open = None


class Landing:
    """Writers for all landed tables of one bucket. Not thread-safe: one origin at a time.

    Args:
        folder: empty folder on scratch, on the same machine.
        run_bytes: most bytes of rows that are held, except for one larger batch, and for up to 30 MiB each of contents
            and trees at HEAD that wait for the next run. With pages and compression, memory is two to three times as
            much.
    """

    def __init__(self, folder: Path, run_bytes: int = RUN_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._run_bytes = run_bytes
        self._part_bytes = run_bytes // _PART
        self._trees_bytes = int(run_bytes * _TREES_PART)
        self._held = 0
        self._pages = PageBuffer()
        self._runs = {t.name: _Run(t, folder, self._pages) for t in tables.LANDED}

    def begin(self) -> None:
        """Begin an origin: the rows that follow can be dropped."""
        for run in self._runs.values():
            run.note()

    def append(self, table: Table, batch: pa.RecordBatch, raw_bytes: int) -> None:
        """Add rows; ``raw_bytes`` is the size of their large values."""
        run = self._runs[table.name]
        if table is tables.TREES and run.held_bytes and run.held_bytes + batch.nbytes > self._trees_bytes:
            self._flush(run, most_waiting(self._run_bytes))
        while self._held and self._held + batch.nbytes > self._run_bytes:
            self._write_largest()
        run.add(batch, raw_bytes)
        self._held += batch.nbytes
        if self._held >= self._run_bytes:
            self._write_largest()

    def adopt(self, file: LocalFile) -> None:
        """Take over a file of rows of the current origin, on the same disk."""
        self._runs[file.table].adopt(file)

    def make_room(self) -> None:
        """Write what is worth it and give memory back, for a visit that needs as much."""
        if self._held >= self._part_bytes:
            self._write_largest()
        self._pages.release()

    def _write_largest(self) -> None:
        """Write the largest run, and each that is large enough to be worth it."""
        largest = max(run.held_bytes for run in self._runs.values())
        for run in self._runs.values():
            if run.held_bytes >= min(largest, self._part_bytes):
                self._flush(run, most_waiting(self._run_bytes))

    def drop(self) -> None:
        """Forget all rows since ``begin``."""
        for run in self._runs.values():
            self._held -= run.held_bytes - run.mark.held_bytes
            run.drop()

    def finish(self) -> list[LocalFile]:
        """Write what is left and close. The files come in publishing order; tables without rows have none."""
        self.begin()
        for run in self._runs.values():
            self._flush(run)
            run.close()
        return [file for run in self._runs.values() for file in run.done]

    def _flush(self, run: _Run, may_wait_bytes: int = 0) -> None:
        """Write a run. Rows of earlier origins go into another file than those of the current one, which may fail.

        Rows at HEAD have pages of their own. Where they are few they wait, to share one with those of the next run.
        Those of earlier origins wait only while the current one has no rows: a file of these may still be deleted.
        """
        self._held -= run.held_bytes
        safe, unsafe = run.take()
        _write(run, safe, 0 if unsafe.batches else may_wait_bytes, unsafe=False)
        run.mark = run.state()
        _write(run, unsafe, may_wait_bytes, unsafe=True)


def _write(run: _Run, rows: _Rows, may_wait_bytes: int, *, unsafe: bool) -> None:
    """Write the rows and release them, except for those at HEAD that wait, which the run holds afterwards."""
    if not rows.batches:
        return
    waiting = _few_at_head(run.table, rows, may_wait_bytes)
    run.keep(waiting)
    file = run.writable(unsafe=unsafe)
    file.raw_bytes += rows.raw_bytes - waiting.raw_bytes
    if isinstance(file.writer, ContentsFile):
        for part in content_groups(run.table, *_apart(rows.batches), history_only=bool(waiting.batches)):
            file.writer.write_group(part.others, run.buffer.pages(part.contents, at_head=part.at_head))
            file.rows += len(part.others)
        return
    for group in network_groups(run.table, _together(rows.batches)):
        file.writer.write_table(group, row_group_size=len(group))
        file.rows += len(group)


def _few_at_head(table: Table, rows: _Rows, most_bytes: int) -> _Rows:
    """A copy of the rows at HEAD, if these take at most so many bytes and others as many; none otherwise."""
    nothing = _Rows([], 0)
    if not most_bytes or CONTENT not in table.column_names:
        return nothing
    whole = pa.Table.from_batches(rows.batches)
    at_head = whole["at_head"]
    raw_bytes = pc.sum(pc.binary_length(whole[CONTENT]).filter(at_head)).as_py() or 0
    if not 0 < raw_bytes <= min(most_bytes, rows.raw_bytes // 2):
        return nothing
    found = whole.filter(at_head)
    return _Rows(found.combine_chunks().to_batches(), raw_bytes) if found.nbytes <= most_bytes else nothing


def _apart(batches: list[pa.RecordBatch]) -> tuple[pa.Table, list[memoryview]]:
    """The other columns and the contents, which stay where they are. Releases the batches."""
    contents = [value for batch in batches for value in values(batch.column(CONTENT))]
    others = pa.Table.from_batches([batch.drop_columns([CONTENT]) for batch in batches]).combine_chunks()
    batches.clear()
    return others, contents


def _together(batches: list[pa.RecordBatch]) -> pa.Table:
    """Releases the batches."""
    rows = pa.Table.from_batches(batches)
    batches.clear()
    return rows
