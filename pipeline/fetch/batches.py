"""Rows on their way to files: tuples become batches of bounded size, and Arrow's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.fetch.parquet import MIB
from pipeline.model import tables
from pipeline.model.rows import Row
from pipeline.model.tables import Table

BATCH_ROWS = 512
BATCH_BYTES = 8 * MIB
"""Limits of a batch: it ends with the row that reaches one of the two."""

Sink = Callable[[Table, Sequence[Row], int], None]
"""Takes rows of a table and the raw bytes of their large values."""

ArrowSink = Callable[[Table, pa.RecordBatch, int], None]
"""Takes the same as an Arrow batch."""


@dataclass(slots=True)
class _Open:
    rows: list[Row] = field(default_factory=list)
    raw_bytes: int = 0


class Batches:
    """Collects rows of all landed tables and passes them on batch by batch."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._open = {table.name: _Open() for table in tables.LANDED}

    def add(self, table: Table, row: Row, raw_bytes: int = 0) -> None:
        """Add one row in the table's column order; ``raw_bytes`` is the size of its large value."""
        batch = self._open[table.name]
        batch.rows.append(row)
        batch.raw_bytes += raw_bytes
        if len(batch.rows) == BATCH_ROWS or batch.raw_bytes >= BATCH_BYTES:
            self._hand_on(table)

    def flush(self) -> None:
        """Pass on the remaining rows."""
        for table in tables.LANDED:
            if self._open[table.name].rows:
                self._hand_on(table)

    def drop(self) -> None:
        """Forget the rows that were not passed on."""
        self._open = {table.name: _Open() for table in tables.LANDED}

    def _hand_on(self, table: Table) -> None:
        done, self._open[table.name] = self._open[table.name], _Open()
        self._sink(table, done.rows, done.raw_bytes)


def in_arrow(sink: ArrowSink) -> Sink:
    """A sink that passes rows on to one that takes Arrow batches."""
    return lambda table, rows, raw_bytes: sink(table, record_batch(table, rows), raw_bytes)


def record_batch(table: Table, rows: Sequence[Row], *, without: str | None = None) -> pa.RecordBatch:
    """Rows in the table's column order, at least one, as an Arrow batch; one column may be left out."""
    cells = zip(zip(*rows, strict=True), table.columns, strict=True)
    kept = [(pa.array(values, type=column.type), column.name) for values, column in cells if column.name != without]
    schema = pa.schema([table.arrow_schema.field(name) for _, name in kept])
    return pa.RecordBatch.from_arrays([values for values, _ in kept], schema=schema)
