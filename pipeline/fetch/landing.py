"""The Parquet files of one fetch task: rows collect in runs, runs become row groups, a failed origin leaves none.

Physical layout, measured for size (see docs/decisions): a run of contents or trees is sorted so that versions of one
file lie side by side and zstd sees one after the other; what is at HEAD comes first, in row groups of its own, so that
a scan of HEAD never opens the history's.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import attrgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.fetch.batches import BATCH_ROWS
from pipeline.fetch.parquet import MIB, PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.model import tables
from pipeline.model.tables import Table
from pipeline.storage.parquet import SealedWriter

RUN_BYTES = 256 * MIB

_ORDER = {
    tables.CONTENTS.name: ("network", "ext", "name"),
    tables.BLOBS.name: ("network", "ext", "name"),
}
_NETWORK = ("network",)
_HALVED = (tables.CONTENTS.name, tables.TREES.name)


@dataclass(frozen=True, slots=True)
class _Mark:
    """How a run stood when the origin at hand began."""

    batches: int = 0
    held_bytes: int = 0
    raw_bytes: int = 0
    groups: int = 0
    written_rows: int = 0
    written_bytes: int = 0


@dataclass(slots=True)
class _Run:
    """One table's batches that are not written yet, and its file once there is one."""

    table: Table
    path: Path
    batches: list[pa.RecordBatch] = field(default_factory=list)
    held_bytes: int = 0
    raw_bytes: int = 0
    writer: SealedWriter | None = None
    groups: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    mark: _Mark = field(default_factory=_Mark)

    def note(self) -> None:
        """Remember how things stand."""
        self.mark = _Mark(
            len(self.batches), self.held_bytes, self.raw_bytes, self.groups, self.written_rows, self.written_bytes
        )


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A finished Parquet file on scratch."""

    table: str
    path: Path
    rows: int
    raw_bytes: int


class Landing:
    """Writers for all landed tables of one bucket. Not thread-safe: one origin at a time.

    Args:
        folder: empty folder on scratch, on the same machine.
        run_bytes: bytes of rows that are held at most; then the largest run is written. With pages and compression,
            memory is two to three times as much.
    """

    def __init__(self, folder: Path, run_bytes: int = RUN_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._run_bytes = run_bytes
        self._held = 0
        self._runs = {t.name: _Run(t, folder / f"{t.name}.parquet") for t in tables.LANDED}

    def begin(self) -> None:
        """An origin begins: what follows can be dropped."""
        for run in self._runs.values():
            run.note()

    def append(self, table: Table, batch: pa.RecordBatch, raw_bytes: int) -> None:
        """Take rows; ``raw_bytes`` is the size of their large values."""
        run = self._runs[table.name]
        run.batches.append(batch)
        run.raw_bytes += raw_bytes
        run.held_bytes += batch.nbytes
        self._held += batch.nbytes
        if self._held >= self._run_bytes:
            self._flush(max(self._runs.values(), key=attrgetter("held_bytes")))

    def drop(self) -> None:
        """Forget all rows since ``begin``."""
        for run in self._runs.values():
            mark = run.mark
            self._held -= run.held_bytes - mark.held_bytes
            del run.batches[mark.batches :]
            run.held_bytes, run.raw_bytes = mark.held_bytes, mark.raw_bytes
            if run.groups > mark.groups and run.writer is not None:
                run.writer.close()
                run.writer = _first_groups(run.table, run.path, mark.groups)
                run.groups = mark.groups
            run.written_rows, run.written_bytes = mark.written_rows, mark.written_bytes

    def finish(self) -> list[LocalFile]:
        """Write what is left and close; tables without rows have no file. In publishing order."""
        self.begin()
        files = []
        for run in self._runs.values():
            self._flush(run)
            if run.writer is not None:
                run.writer.close()
                files.append(LocalFile(run.table.name, run.path, run.written_rows, run.written_bytes))
        return files

    def _flush(self, run: _Run) -> None:
        """Rows of earlier origins become row groups apart from those of the one at hand, which may yet fail."""
        mark = run.mark
        safe, unsafe, run.batches = run.batches[: mark.batches], run.batches[mark.batches :], []
        self._held -= run.held_bytes
        safe_raw, unsafe_raw = mark.raw_bytes, run.raw_bytes - mark.raw_bytes
        run.held_bytes = run.raw_bytes = 0
        if safe:
            self._write(run, safe, safe_raw)
            run.mark = _Mark(0, 0, 0, run.groups, run.written_rows, run.written_bytes)
        else:
            run.mark = _emptied(mark)
        if unsafe:
            self._write(run, unsafe, unsafe_raw)

    def _write(self, run: _Run, batches: list[pa.RecordBatch], raw_bytes: int) -> None:
        """Write the batches, which are let go: the list is empty afterwards."""
        if run.writer is None:
            run.writer = open_parquet(run.table, run.path, ZSTD_LEVEL, PAGE_BYTES)
        run.written_rows += sum(map(len, batches))
        run.written_bytes += raw_bytes
        for part in _sorted_parts(run.table, batches):
            run.writer.write_table(part, row_group_size=len(part))
            run.groups += 1


def _emptied(mark: _Mark) -> _Mark:
    return _Mark(0, 0, 0, mark.groups, mark.written_rows, mark.written_bytes)


def _sorted_parts(table: Table, batches: list[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in order, as one table or, where HEAD is kept apart, as two. Batches are let go."""
    bulk = "content" in table.column_names
    contents = [batch.column("content") for batch in batches] if bulk else []
    others = pa.Table.from_batches([batch.drop_columns(["content"]) if bulk else batch for batch in batches])
    batches.clear()
    others = others.combine_chunks()
    keys = [(name, "ascending") for name in _ORDER.get(table.name, _NETWORK)]
    order = pc.sort_indices(others, sort_keys=keys)  # stable: what is alike stays in order of arrival
    halves = [order]
    if table.name in _HALVED:
        at_head = others["at_head"].combine_chunks().take(order)
        halves = [order.filter(at_head), order.filter(pc.invert(at_head))]
    gather = _Gather(contents)
    for half in halves:
        if len(half):
            part = others.take(half)
            yield part.append_column("content", gather.take(half)).select(table.column_names) if bulk else part


class _Gather:
    """Takes values from many arrays by their number, in small chunks: one large buffer costs more to grow.

    Values are copied once, from buffer to buffer; as Python objects they would be copied twice.
    """

    def __init__(self, arrays: list[pa.BinaryArray]) -> None:
        self._values: list[memoryview] = []
        for values in arrays:
            _, offsets, data = values.buffers()
            at = memoryview(offsets).cast("i")[values.offset : values.offset + len(values) + 1].tolist()
            whole = memoryview(data) if data is not None else memoryview(b"")
            self._values += [whole[begin:end] for begin, end in pairwise(at)]

    def take(self, order: pa.Array) -> pa.ChunkedArray:
        chunks = [self._chunk(order.slice(begin, BATCH_ROWS).to_pylist()) for begin in range(0, len(order), BATCH_ROWS)]
        return pa.chunked_array(chunks, pa.binary())

    def _chunk(self, order: list[int]) -> pa.BinaryArray:
        values = [self._values[number] for number in order]
        offsets = array("i", accumulate(map(len, values), initial=0))
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
        return pa.BinaryArray.from_buffers(pa.binary(), len(values), buffers)


def _first_groups(table: Table, path: Path, count: int) -> SealedWriter | None:
    """Rewrite a closed file so that only its first row groups remain; None, and no file, for no groups."""
    if count == 0:
        path.unlink()
        return None
    old = path.with_suffix(".old")
    path.rename(old)
    writer = open_parquet(table, path, ZSTD_LEVEL, PAGE_BYTES)
    with pq.ParquetFile(old, page_checksum_verification=True) as file:
        for group in range(count):
            part = file.read_row_group(group).cast(table.arrow_schema)
            writer.write_table(part, row_group_size=part.num_rows)
    old.unlink()
    return writer
