"""Rows of objects that the archive still has, in readable parts of damaged files or in files of past states."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.fetch.parquet import PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.model.errors import CheckFailed
from pipeline.model.objects import object_id
from pipeline.model.rows import CODECS, Cells
from pipeline.model.tables import BY_NAME, Table
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import RowsLacking, SealedWriter, open_parquet_file

BATCH_ROWS = 64
GROUP_BYTES = 128 << 20

Key = tuple[int, bytes]
Ids = set[Key]
"""Network and id of rows."""


@dataclass(slots=True)
class RowFile:
    """A new data file on scratch, written from rows as they come. Without rows there is no file."""

    table: Table
    path: Path
    rows: int = 0
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _writer: SealedWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows of the table."""
        if len(batch):
            self._held.append(batch)
            self.rows += len(batch)
            if sum(held.nbytes for held in self._held) >= GROUP_BYTES:
                self._flush()

    def finish(self) -> Path | None:
        """Close; return the file, None without rows."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        return self.path

    def _flush(self) -> None:
        if self._held:
            if self._writer is None:
                self._writer = open_parquet(self.table, self.path, ZSTD_LEVEL, PAGE_BYTES)
            rows = pa.Table.from_batches(self._held)
            self._writer.write_table(rows, row_group_size=len(rows))
            self._held.clear()


def salvage(
    storage: Storage, table: str, paths: Iterable[str], live: Ids, into: RowFile, refused: Container[Key]
) -> bool:
    """Copy rows whose objects are whole and not live; each becomes live. Unreadable parts are skipped, and so are row
    groups that lack values: their rows may have those of others.

    Args:
        live: ids that the table has; grows.
        refused: rows that were taken down, or are wrong although the row itself does not show it.

    Returns:
        Whether any rows are live even without these files.
    """
    doubled = False
    for path in paths:
        with suppress(StoredFileDamaged), open_parquet_file(storage, path) as file:
            for group in range(file.num_row_groups):
                with suppress(OSError, UnicodeDecodeError, pa.ArrowException):
                    doubled |= not live.isdisjoint(_ids(file.read_row_group(group, ["network", "oid"])))
                    for batch in _group(file, group, BY_NAME[table], live, refused):
                        into.add(batch)
    return doubled


def _group(
    file: pq.ParquetFile, group: int, table: Table, live: Ids, refused: Container[Key]
) -> Iterator[pa.RecordBatch]:
    ids = file.read_row_group(group, ["network", "oid"])
    if live.issuperset(_ids(ids)) or _lacks_values(file, group, table):
        return
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(table.column_names)):
        rows = batch.select(list(table.column_names))
        whole = []
        for key, row in zip(_ids(batch), _bodies(table.name, batch), strict=True):
            whole.append(key not in live and key not in refused and _is_whole(table.name, row))
            if whole[-1]:
                live.add(key)
        yield _at_head(rows.filter(pa.array(whole, pa.bool_())), table)


def _lacks_values(file: pq.ParquetFile, group: int, table: Table) -> bool:
    """Whether some column is too short, which shows at its end only."""
    for name in table.column_names:
        try:
            for _ in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[name]):
                pass
        except RowsLacking:
            return True
        except (OSError, UnicodeDecodeError, pa.ArrowException):
            continue  # what comes before the damage is as it was
    return False


def only_new(storage: Storage, table: str, paths: Iterable[str], live: Ids, into: RowFile) -> None:
    """Copy rows of landed files that are not live; each becomes live.

    Raises:
        StoredFileDamaged: a file cannot be read.
    """
    for path in paths:
        with open_parquet_file(storage, path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(BY_NAME[table].column_names)):
                new = pa.array([key not in live for key in _ids(batch)], pa.bool_())
                rows = batch.select(list(BY_NAME[table].column_names)).filter(new)
                live.update(_ids(rows))
                into.add(_cast(rows, BY_NAME[table]))


def _bodies(table: str, batch: pa.RecordBatch) -> list[Cells]:
    columns = () if table == "blobs" else CODECS[table].columns
    rows: list[Cells] = batch.select(["oid", *columns]).to_pylist()
    return rows


def _is_whole(table: str, row: Cells) -> bool:
    if table == "blobs":
        return True
    codec = CODECS[table]
    try:
        return bool(object_id(codec.type, codec.body(row)) == row["oid"])
    except CheckFailed:
        return False


def _ids(rows: pa.RecordBatch | pa.Table) -> list[tuple[int, bytes]]:
    return list(zip(rows.column("network").to_pylist(), rows.column("oid").to_pylist(), strict=True))


def _at_head(rows: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    """The rows, flagged as at HEAD whatever the file said: an extra flag does no harm, a missing one does."""
    rows = _cast(rows, table)
    if "at_head" not in table.column_names:
        return rows
    at = table.column_names.index("at_head")
    columns = [*rows.columns]
    columns[at] = pc.fill_null(pa.nulls(len(rows), pa.bool_()), fill_value=True)
    return pa.RecordBatch.from_arrays(columns, schema=table.arrow_schema)


def _cast(rows: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    cast = pa.Table.from_batches([rows]).cast(table.arrow_schema).combine_chunks().to_batches()
    return cast[0] if cast else pa.RecordBatch.from_pylist([], table.arrow_schema)
