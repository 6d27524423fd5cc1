"""Rows between two of our processes: contents cross as they are, from the objects that hold them to one buffer.

Of a visit's bytes nearly all are contents. As an Arrow message they would be copied twice more before they are sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import pyarrow as pa

from pipeline.fetch.batches import record_batch
from pipeline.fetch.messages import Rows
from pipeline.model.rows import Row
from pipeline.model.tables import BY_NAME, Table

_CONTENT: Final = "content"
_OFFSET: Final = "i"
"""Type of the offsets of Arrow's ``binary``."""


class Parcel(NamedTuple):
    """Rows of a table. ``contents`` is empty if it has none; ``raw_bytes`` is the size of large values."""

    table: Table
    others: pa.RecordBatch
    contents: Sequence[bytes | memoryview]
    raw_bytes: int

    def crossing(self) -> tuple[Rows, Sequence[bytes | memoryview | pa.Buffer]]:
        """A message and what follows it, piece after piece."""
        others = self.others.serialize()
        offsets = b""
        if _content_at(self.table) is not None:
            offsets = array(_OFFSET, accumulate(map(len, self.contents), initial=0)).tobytes()
        return Rows(self.table.name, self.raw_bytes, others.size, offsets), [others, *self.contents]


def packed(table: Table, rows: Sequence[Row], raw_bytes: int) -> Parcel:
    """Rows in the table's column order, at least one; ``raw_bytes`` is the size of their large values."""
    content = _content_at(table)
    contents: list[Any] = [] if content is None else [row[content] for row in rows]
    return Parcel(table, record_batch(table, rows, without=_CONTENT), contents, raw_bytes)


def unpacked(rows: Rows, body: pa.Buffer) -> pa.RecordBatch:
    """The rows of a message and the bytes that followed it, which are not copied."""
    table = BY_NAME[rows.table]
    schema, content = table.arrow_schema, _content_at(table)
    if content is None:
        return pa.ipc.read_record_batch(body, schema)
    others = pa.ipc.read_record_batch(body.slice(0, rows.others_bytes), schema.remove(content))
    buffers = [None, pa.py_buffer(rows.offsets), body.slice(rows.others_bytes)]
    values = pa.BinaryArray.from_buffers(pa.binary(), len(others), buffers)
    return pa.RecordBatch.from_arrays([*others.columns[:content], values, *others.columns[content:]], schema=schema)


def _content_at(table: Table) -> int | None:
    return table.column_names.index(_CONTENT) if _CONTENT in table.column_names else None
