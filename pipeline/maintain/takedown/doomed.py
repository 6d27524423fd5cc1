"""The rows of each table that a takedown removes. Pure decisions on Arrow batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.maintain.takedown.line_rows import KEY, goes
from pipeline.model.tables import BY_OBJECT, BY_ORIGIN
from pipeline.model.visit import TAKEN_DOWN

T = TypeVar("T", str, bytes)

KEY_COLUMNS = {
    **dict.fromkeys(BY_OBJECT, ("network", "oid")),
    **dict.fromkeys(BY_ORIGIN, ("network", "origin")),
    "origins": ("network", "url"),
    "blobs": ("network", "oid", "stored"),
    "files": ("network", "origin", *KEY[1:]),
}
"""Columns of a table that determine whether a row is doomed. Reading them opens no content."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """Rows to remove from all files.

    Attributes:
        urls: URLs of origins, by their networks.
        networks: networks that lose every object.
        objects: ids by network.
        marked: ids by network whose row in ``blobs`` stays and says that the bytes were taken down.
        buckets: buckets that hold any of these rows.
        needed: rows of lines of ``files`` that stay in the networks of ``urls``; None as long as they are unknown.
    """

    urls: Mapping[int, frozenset[str]] = field(default_factory=dict)
    networks: frozenset[int] = frozenset()
    objects: Mapping[int, frozenset[bytes]] = field(default_factory=dict)
    marked: Mapping[int, frozenset[bytes]] = field(default_factory=dict)
    buckets: frozenset[int] = frozenset()
    needed: pa.Table | None = None

    def where(self, table: str) -> frozenset[int]:
        """Networks that may have doomed rows in the table."""
        if table in BY_ORIGIN:
            return frozenset(self.urls)
        return self.networks | frozenset(self.objects) | frozenset(self.marked)

    def rows(self, table: str, keys: pa.RecordBatch | pa.Table) -> pa.BooleanArray | pa.ChunkedArray:
        """Which rows go or, in ``blobs``, must be marked, from the columns of ``KEY_COLUMNS``; never null."""
        network, name = (keys.column(column) for column in KEY_COLUMNS[table][:2])
        if table in BY_ORIGIN:
            found = _among(network, name, self.urls, pa.string())
            if table == "files" and self.needed is not None and "line" in keys.schema.names:
                rows = keys if isinstance(keys, pa.Table) else pa.table(keys)
                found = pc.or_kleene(found, goes(rows, self.needed, self.where(table)))
        else:
            found = _or(
                pc.is_in(network, value_set=pa.array(sorted(self.networks), network.type)),
                _or(
                    _among(network, name, self.objects, pa.binary()),
                    self.to_mark(table, keys) if table == "blobs" else _among(network, name, self.marked, pa.binary()),
                ),
            )
        return pc.fill_null(found, False)

    def to_mark(self, table: str, keys: pa.RecordBatch | pa.Table) -> pa.BooleanArray | pa.ChunkedArray:
        """Which rows of ``blobs`` stay with a new value of ``stored``; rows that already have it are left alone."""
        network, name = keys.column("network"), keys.column("oid")
        found = _among(network, name, self.marked, pa.binary())
        if table != "blobs":
            return pc.and_(found, False)
        return pc.fill_null(pc.and_(found, pc.not_equal(keys.column("stored"), TAKEN_DOWN)), False)


def _or(left: pa.Array, right: pa.Array) -> pa.Array:
    return pc.or_kleene(left, right)


def _among(network: pa.Array, name: pa.Array, wanted: Mapping[int, frozenset[T]], type_: pa.DataType) -> pa.Array:
    found = pc.and_(pc.is_null(network), False)
    for number in wanted.keys() & set(pc.unique(network).to_pylist()):
        names = wanted[number]
        mine = pc.is_in(name.cast(type_), value_set=pa.array(sorted(names), type_))
        found = _or(found, pc.and_kleene(pc.equal(network, number), mine))
    return found
