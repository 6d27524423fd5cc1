"""Rewrites one data file without its doomed rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.parquet import PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.maintain.takedown.doomed import KEY_COLUMNS, Doomed
from pipeline.model.errors import CheckFailed
from pipeline.model.tables import REFS, Table
from pipeline.model.visit import TAKEN_DOWN
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, SealedWriter, open_parquet_file
from pipeline.tables.snapshot.deletion_vectors import Positions

KEY_ROWS, CONTENT_ROWS = 65_536, 256
"""Rows per batch: of ids only, and with their bytes."""

UNREADABLE = (CheckFailed, LookupError, TypeError, ValueError, ArithmeticError)
"""Errors that reading a file with arbitrary content may raise; not those of unavailable storage."""

_ROW_ID = pa.field("_row_id", pa.int64(), metadata={"PARQUET:field_id": "2147483540"})
_SEQUENCE = pa.field("_last_updated_sequence_number", pa.int64(), metadata={"PARQUET:field_id": "2147483539"})
"""Iceberg's own columns and their reserved ids: a row keeps these values if its file has them."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data file of a snapshot.

    Attributes:
        path: path below the archive's root.
        first_row_id: Iceberg's number of its first row, None if it has none.
        sequence: sequence number of the commit that added it.
        deleted: positions of rows that the snapshot lacks.
    """

    path: str
    first_row_id: int | None
    sequence: int
    deleted: Positions


def doomed_rows(storage: Storage, table: str, path: str, doomed: Doomed) -> int:
    """Number of doomed rows in a data file. Row groups without any of the networks are not read.

    Raises:
        StoredFileDamaged, StorageUnavailable: the file cannot be read.
    """
    networks = doomed.where(table)
    if not networks:
        return 0
    columns = list(KEY_COLUMNS[table])
    with open_parquet_file(storage, path) as file:
        groups = [group for group in range(file.num_row_groups) if file.may_hold(group, "network", networks)]
        if not groups:
            return 0
        batches = file.iter_batches(KEY_ROWS, row_groups=groups, columns=columns)
        return sum(pc.sum(doomed.rows(table, batch)).as_py() or 0 for batch in batches)


def write_without(
    storage: Storage, table: Table, source: Source, doomed: Doomed, target: Path, ids: dict[str, int]
) -> int:
    """Write the remaining rows of a data file to a local file; row groups stay row groups.

    Args:
        ids: Iceberg's field ids by column name, for ``refs``, whose rows keep their row ids: these give the order in
            which two loads of one night changed a ref.

    Returns:
        The number of rows; if it is 0 there is no file.
    """
    rows = 0
    writer: SealedWriter | None = None
    try:
        with open_parquet_file(storage, source.path) as file:
            for group in _groups(file, table, source, doomed):
                if group.num_rows:
                    if writer is None:
                        writer = _open(table, target, ids)
                    writer.write_table(group.cast(writer.schema), row_group_size=group.num_rows)
                    rows += group.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows


def _open(table: Table, target: Path, ids: dict[str, int]) -> SealedWriter:
    if table is not REFS:
        return open_parquet(table, target, ZSTD_LEVEL, PAGE_BYTES)
    fields = [field.with_metadata({"PARQUET:field_id": str(ids[field.name])}) for field in table.arrow_schema]
    schema = pa.schema([*fields, _ROW_ID, _SEQUENCE])
    return SealedWriter(target, schema, compression="zstd", compression_level=ZSTD_LEVEL, store_schema=False)


def _groups(file: ArchiveFile, table: Table, source: Source, doomed: Doomed) -> Iterator[pa.Table]:
    """The remaining rows of each row group."""
    columns = [*table.column_names]
    if table is REFS:
        columns += [field.name for field in (_ROW_ID, _SEQUENCE) if field.name in file.schema_arrow.names]
    batch_rows = CONTENT_ROWS if "content" in columns else KEY_ROWS
    begin = 0
    for group in range(file.num_row_groups):
        kept = []
        for batch in file.iter_batches(batch_rows, row_groups=[group], columns=columns):
            kept.append(_stays(_complete(pa.table(batch), table).select(columns), begin, table, source, doomed))
            begin += len(batch)
        if kept:
            yield pa.concat_tables(kept)


def _complete(rows: pa.Table, table: Table) -> pa.Table:
    """The rows with null in columns that a file of an earlier version lacks."""
    for field in table.arrow_schema:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def _stays(rows: pa.Table, begin: int, table: Table, source: Source, doomed: Doomed) -> pa.Table:
    positions = np.arange(begin, begin + rows.num_rows)
    live = pa.array(~np.isin(positions, source.deleted, assume_unique=True))
    marked = doomed.to_mark(table.name, rows) if table.name == "blobs" else None
    goes = doomed.rows(table.name, rows)
    if marked is not None:
        goes = pc.and_not(goes, marked)
        at = rows.column_names.index("stored")
        stored = pc.if_else(marked, TAKEN_DOWN, rows.column("stored"))
        rows = rows.set_column(at, "stored", stored)
    if table is REFS:
        rows = _with_row_ids(rows, positions, source)
    return rows.filter(pc.and_not(live, goes))


def _with_row_ids(rows: pa.Table, positions: Positions, source: Source) -> pa.Table:
    count = rows.num_rows
    first = source.first_row_id
    inherited = pa.nulls(count, pa.int64()) if first is None else pa.array(positions + first)
    sequence = pa.repeat(pa.scalar(source.sequence, pa.int64()), count)
    for field, value in ((_ROW_ID, inherited), (_SEQUENCE, sequence)):
        if field.name in rows.column_names:
            own = rows.column(field.name)
            rows = rows.drop_columns([field.name]).append_column(field, pc.coalesce(own, pa.chunked_array([value])))
        else:
            rows = rows.append_column(field, value)
    return rows
