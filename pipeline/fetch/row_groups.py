"""Rows in the order in which they are written, and cut into row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.id_index import SMALL_ROWS
from pipeline.model import tables
from pipeline.model.tables import Table

GROUP_ROWS = SMALL_ROWS
"""Rows of a row group without large values, if it has several networks: a worker keeps the ids of such a group."""

_ORDER = {
    tables.CONTENTS.name: ("network", "ext", "name"),
    tables.BLOBS.name: ("network", "ext", "name"),
}
_NETWORK = ("network",)


class ContentGroup(NamedTuple):
    """A row group of a table with contents: the other columns, and the content of each row where it is."""

    others: pa.Table
    contents: list[memoryview]
    at_head: bool


def content_groups(
    table: Table, others: pa.Table, contents: Sequence[memoryview], *, history_only: bool
) -> Iterator[ContentGroup]:
    """The rows at HEAD, unless left out, then all others, both sorted so that versions of one file are adjacent.

    Args:
        others: all columns but the contents, each in one chunk.
        contents: one for each row.
    """
    order = _order(table, others)
    heads = others["at_head"].combine_chunks().take(order)
    for half, at_head in ((order.filter(heads), True), (order.filter(pc.invert(heads)), False)):
        if len(half) and not (at_head and history_only):
            yield ContentGroup(others.take(half), [contents[number] for number in half.to_pylist()], at_head)


def network_groups(table: Table, rows: pa.Table) -> Iterator[pa.Table]:
    """The rows of a table without contents, sorted, in groups of whole networks, of ``GROUP_ROWS`` at most unless a
    single network has more.

    The rows of a look-up are few and of one network, and a row group without it stays unread. Large values would
    compress worse in small groups.
    """
    rows = _sorted(table, rows)
    begin = end = 0
    for next_end in pc.run_end_encode(rows["network"].combine_chunks()).run_ends.to_pylist():
        if next_end - begin > GROUP_ROWS and end > begin:
            yield rows.slice(begin, end - begin)
            begin = end
        end = next_end
    yield rows.slice(begin)


def _sorted(table: Table, rows: pa.Table) -> pa.Table:
    order = _order(table, rows)
    return rows if order.equals(pa.array(range(len(order)), order.type)) else rows.combine_chunks().take(order)


def _order(table: Table, rows: pa.Table) -> pa.Array:
    """Numbers of the rows in the order in which they are written; equal ones stay in order of arrival."""
    keys = [(name, "ascending") for name in _ORDER.get(table.name, _NETWORK)]
    return pc.sort_indices(rows, sort_keys=keys)
