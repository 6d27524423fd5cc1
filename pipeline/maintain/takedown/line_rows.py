"""Which rows of the lines of ``files`` nothing needs any more. Pure decisions on Arrow tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.tables import FILES

KEY = ["network", "line", "path", "path_raw", "mode", "kind", "oid"]
"""Columns by which rows are compared."""

_ROW = "_row"


def goes(rows: pa.Table, needed: pa.Table, networks: Collection[int]) -> pa.Array:
    """Which rows of lines, in some networks, are not among those that are needed.

    Args:
        rows: has the columns ``KEY``.
    """
    among = pc.and_(
        pc.is_in(rows["network"], value_set=pa.array(sorted(networks), pa.int64())), pc.is_valid(rows["line"])
    )
    numbered = _comparable(rows.select(KEY)).append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))
    staying = numbered.join(_comparable(needed.select(KEY)), KEY, join_type="left semi")[_ROW]
    stays = pc.is_in(numbered[_ROW], value_set=staying.combine_chunks())
    return pc.fill_null(pc.and_not(among, stays), False)


def _comparable(rows: pa.Table) -> pa.Table:
    """Rows without null, which no join finds."""
    columns = []
    for field in key_fields():
        filler = {pa.binary(): b"", pa.string(): ""}.get(field.type, -1)
        columns.append(pc.fill_null(rows[field.name].cast(field.type), pa.scalar(filler, field.type)))
    return pa.table(columns, names=KEY)


def key_fields() -> Sequence[pa.Field]:
    """The columns ``KEY`` of ``files``."""
    return [FILES.arrow_schema.field(name) for name in KEY]
