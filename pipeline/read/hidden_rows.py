"""Rows as readers see them: Arrow batches without what was taken down."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.tables import BY_ORIGIN, OID, ORIGINS
from pipeline.model.tombstone import Hidden
from pipeline.model.visit import TAKEN_DOWN


def keys_of(table: str) -> tuple[str, ...]:
    """The columns by which ``shown`` finds rows of a table."""
    if table not in BY_ORIGIN:
        return ("network", "oid")
    return ("url",) if table == ORIGINS.name else ("origin",)


def shown(batch: pa.RecordBatch, table: str, gone: Hidden) -> pa.RecordBatch:
    """The rows that ``tables.tombstones.visible`` leaves.

    Args:
        batch: rows of the table, ``keys_of`` among its columns.
    """
    if table in BY_ORIGIN:
        (key,) = keys_of(table)
        return batch.filter(pc.invert(_is_in(batch.column(key), gone.urls, pa.string())))
    networks, oids = batch.column("network"), batch.column("oid")
    hides = _is_in(networks, gone.networks, pa.int64())
    by_network: dict[int, list[bytes]] = {}
    for network, oid in gone.objects:
        by_network.setdefault(network, []).append(oid)
    for network, named in by_network.items():
        hides = pc.or_(hides, pc.and_(pc.equal(networks, network), _is_in(oids, named, OID)))
    anywhere = _is_in(oids, gone.anywhere, OID)
    if table != "blobs":
        return batch.filter(pc.invert(pc.or_(hides, anywhere)))
    if "stored" in batch.schema.names:
        at = batch.schema.get_field_index("stored")
        batch = batch.set_column(at, "stored", pc.if_else(anywhere, TAKEN_DOWN, batch.column(at)))
    return batch.filter(pc.invert(hides))


def _is_in(values: pa.Array, wanted: Iterable[object], type_: pa.DataType) -> pa.Array:
    return pc.is_in(values, value_set=pa.array(list(wanted), type_))
