"""The Parquet files of one fetch task: rows collect in runs, runs become row groups, a failed origin leaves none.

Physical layout, measured for size (see docs/decisions): a run of contents or trees is sorted so that versions of one
file lie side by side and zstd sees one after the other; what is at HEAD comes first, in row groups of its own, so that
a scan of HEAD never opens the history's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import filterfalse
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.fetch.parquet import MIB, PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.fetch.rows import Row
from pipeline.model import tables
from pipeline.model.tables import Table

RUN_BYTES = 256 * MIB
ROW_OVERHEAD_BYTES = 200
BATCH_ROWS = 512


@dataclass(slots=True)
class _Order:
    """How a run of a table is cut into row groups and sorted. Keys work on row tuples."""

    group: Callable[[Row], object] | None = None
    sort: Callable[[Row], Any] | None = None


def _order(table: Table) -> _Order:
    at = {name: index for index, name in enumerate(table.column_names)}
    if table is tables.CONTENTS:
        return _Order(itemgetter(at["at_head"]), itemgetter(at["network"], at["ext"], at["name"]))
    if table is tables.BLOBS:
        return _Order(None, itemgetter(at["network"], at["ext"], at["name"]))
    if table is tables.TREES:
        return _Order(itemgetter(at["at_head"]), itemgetter(at["network"]))
    return _Order(None, itemgetter(at["network"]))


@dataclass(slots=True)
class _Run:
    """One table's rows that are not written yet, and its file once there is one."""

    table: Table
    path: Path
    order: _Order
    rows: list[Row] = field(default_factory=list)
    raw_bytes: int = 0
    writer: pq.ParquetWriter | None = None
    groups: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    mark: int = 0
    mark_bytes: int = 0
    mark_groups: int = 0
    mark_written: tuple[int, int] = (0, 0)


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
        run_bytes: raw bytes that are held at most; then the largest run is written. With pages and compression,
            memory is two to three times as much.
    """

    def __init__(self, folder: Path, run_bytes: int = RUN_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._run_bytes = run_bytes
        self._held = 0
        self._runs = {t.name: _Run(t, folder / f"{t.name}.parquet", _order(t)) for t in tables.LANDED}

    @contextmanager
    def origin(self) -> Iterator[None]:
        """Rows added inside stay only if the block ends well."""
        for run in self._runs.values():
            run.mark, run.mark_bytes, run.mark_groups = len(run.rows), run.raw_bytes, run.groups
            run.mark_written = (run.written_rows, run.written_bytes)
        try:
            yield
        except BaseException:
            for run in self._runs.values():
                self._roll_back(run)
            raise

    def add(self, table: Table, row: Row, raw_bytes: int = 0) -> None:
        """Add one row in the table's column order; ``raw_bytes`` is the size of its large value."""
        run = self._runs[table.name]
        run.rows.append(row)
        run.raw_bytes += raw_bytes + ROW_OVERHEAD_BYTES
        self._held += raw_bytes + ROW_OVERHEAD_BYTES
        if self._held >= self._run_bytes:
            self._flush(max(self._runs.values(), key=attrgetter("raw_bytes")))

    def finish(self) -> list[LocalFile]:
        """Write what is left and close; tables without rows have no file. In publishing order."""
        files = []
        for run in self._runs.values():
            self._flush(run)
            if run.writer is not None:
                run.writer.close()
                files.append(LocalFile(run.table.name, run.path, run.written_rows, run.written_bytes))
        return files

    def _flush(self, run: _Run) -> None:
        """Rows of earlier origins become row groups apart from those of the one at hand, which may yet fail."""
        safe, run.rows = run.rows[: run.mark], run.rows[run.mark :]
        unsafe, run.rows = run.rows, []
        safe_bytes, unsafe_bytes = run.mark_bytes, run.raw_bytes - run.mark_bytes
        self._held -= run.raw_bytes
        run.raw_bytes = run.mark = run.mark_bytes = 0
        if safe:
            self._write(run, safe, safe_bytes)
            run.mark_groups = run.groups
            run.mark_written = (run.written_rows, run.written_bytes)
        if unsafe:
            self._write(run, unsafe, unsafe_bytes)

    def _write(self, run: _Run, rows: list[Row], raw_bytes: int) -> None:
        if run.writer is None:
            run.writer = open_parquet(run.table, run.path, ZSTD_LEVEL, PAGE_BYTES)
        order = run.order
        run.written_rows += len(rows)
        run.written_bytes += raw_bytes - ROW_OVERHEAD_BYTES * len(rows)
        rows.sort(key=order.sort)
        halves = [rows]
        if order.group is not None:
            halves = [list(filter(order.group, rows)), list(filterfalse(order.group, rows))]
            rows.clear()
        for half in halves:
            if half:
                run.writer.write_table(_arrow(run.table, half), row_group_size=len(half))
                run.groups += 1

    def _roll_back(self, run: _Run) -> None:
        del run.rows[run.mark :]
        self._held -= run.raw_bytes - run.mark_bytes
        run.raw_bytes = run.mark_bytes
        if run.groups > run.mark_groups and run.writer is not None:
            run.writer.close()
            run.writer = _first_groups(run.table, run.path, run.mark_groups)
            run.groups = run.mark_groups
        run.written_rows, run.written_bytes = run.mark_written


def _arrow(table: Table, rows: list[Row]) -> pa.Table:
    """Rows as one table of small batches: growing one large buffer costs more than compressing it later.

    Rows leave the list as they go in, so that their bytes are held once.
    """
    schema = table.arrow_schema
    batches = []
    for at in range(0, len(rows), BATCH_ROWS):
        taken = rows[at : at + BATCH_ROWS]
        rows[at : at + BATCH_ROWS] = [()] * len(taken)
        cells = zip(zip(*taken, strict=True), table.columns, strict=True)
        arrays = [pa.array(values, type=column.type) for values, column in cells]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _first_groups(table: Table, path: Path, count: int) -> pq.ParquetWriter | None:
    """Rewrite a closed file so that only its first row groups remain; None, and no file, for no groups."""
    if count == 0:
        path.unlink()
        return None
    old = path.with_suffix(".old")
    path.rename(old)
    writer = open_parquet(table, path, ZSTD_LEVEL, PAGE_BYTES)
    with pq.ParquetFile(old) as file:
        for group in range(count):
            part = file.read_row_group(group).cast(table.arrow_schema)
            writer.write_table(part, row_group_size=part.num_rows)
    old.unlink()
    return writer
