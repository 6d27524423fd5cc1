"""Rows of data files, as Arrow batches: row groups without any are skipped, deleted rows are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.bytes import has_sides, sums_agree
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file
from pipeline.tables.snapshot.deletion_vectors import Positions
from pipeline.tables.snapshot.live_files import DataFile

ROW_ID = "_row_id"
"""Iceberg's row number, the order of publishing: a column of files whose rows were moved, else counted."""

Value = int | str | bytes | date
"""Of a column by which rows are chosen."""

BATCH_ROWS = 65_536
CONTENT_BATCH_ROWS = 256
"""Rows per batch without and with the bytes of objects."""

_CONTENT_BATCH_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Chosen rows of a row group: their ascending positions in it, and the raw bytes of each."""

    path: str
    number: int
    positions: Positions
    sizes: npt.NDArray[np.int64]

    @property
    def raw_bytes(self) -> int:
        """Raw bytes of all these rows."""
        return int(self.sizes.sum())

    def part(self, chosen: slice | npt.NDArray[np.bool_]) -> Group:
        """Some of these rows."""
        return replace(self, positions=self.positions[chosen], sizes=self.sizes[chosen])


def rows(
    storage: Storage,
    file: DataFile,
    columns: Sequence[str],
    equal: Mapping[str, Value] | None = None,
    *,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of a data file with some values; columns that an old file lacks are null.

    Args:
        columns: in this order; may include ``ROW_ID``.
        equal: value by column; None for all rows.

    Raises:
        StoredFileDamaged: the file is damaged or gone.
    """
    for _, _, batch in _batches(storage, file, columns, equal or {}, batch_rows):
        if len(batch):
            yield batch


def groups(
    storage: Storage, file: DataFile, key: str, size: str | None, equal: Mapping[str, Value]
) -> Iterator[tuple[Group, list[bytes]]]:
    """The rows of a data file with some values, by row group, and their values of a key column.

    Args:
        size: the column with the bytes of a row; None if there is none, then they count as 0.

    Raises:
        StoredFileDamaged: the file is damaged or gone.
    """
    columns = [key] if size is None else [key, size]
    for number, found in groupby(_batches(storage, file, columns, equal, BATCH_ROWS), key=itemgetter(0)):
        parts = [(positions, batch) for _, positions, batch in found]
        keys = [value for _, batch in parts for value in batch.column(key).to_pylist()]
        sizes = [_sizes(batch, size) for _, batch in parts]
        positions = np.concatenate([positions for positions, _ in parts])
        yield Group(file.path, number, positions, np.concatenate(sizes).astype(np.int64)), keys


def _sizes(batch: pa.RecordBatch, column: str | None) -> npt.NDArray[np.int64]:
    if column is None:
        return np.zeros(len(batch), np.int64)
    sizes: npt.NDArray[np.int64] = pc.fill_null(batch.column(column), 0).to_numpy(zero_copy_only=False)
    return sizes


def rows_of(storage: Storage, group: Group, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Chosen rows of a row group, in small batches, as they may be large.

    Raises:
        StoredFileDamaged: the file is damaged or gone.
    """
    with open_parquet_file(storage, group.path) as file:
        begin = 0
        batch_rows = _rows_at_once(file.metadata.row_group(group.number))
        for batch in file.iter_batches(batch_rows, row_groups=[group.number], columns=list(columns)):
            low, high = np.searchsorted(group.positions, [begin, begin + len(batch)])
            if high > low:
                mask = np.zeros(len(batch), bool)
                mask[group.positions[low:high] - begin] = True
                yield batch.filter(pa.array(mask)).select(list(columns))
            begin += len(batch)
            if begin > group.positions[-1]:
                break


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    """Rows of a batch, fewer if they are large: Arrow doubles a batch's memory as it grows."""
    fitting = int(_CONTENT_BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1))
    return min(max(fitting, 1), CONTENT_BATCH_ROWS)


def _batches(
    storage: Storage, data: DataFile, columns: Sequence[str], equal: Mapping[str, Value], batch_rows: int
) -> Iterator[tuple[int, Positions, pa.RecordBatch]]:
    """Number of a row group, positions in it, and the rows there."""
    with open_parquet_file(storage, data.path) as file:
        if not file.sealed:
            file.trusted = _is_checked(storage, data.path)
        names = file.schema_arrow.names
        wanted = list(dict.fromkeys([*equal, *columns]))
        if not set(equal) <= set(names):
            raise StoredFileDamaged(data.path, f"it lacks one of the columns {', '.join(equal)}")
        stored = [name for name in wanted if name in names]
        begin = 0
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            if all(file.may_hold(number, column, [value]) for column, value in equal.items()):
                at = 0
                for batch in file.iter_batches(batch_rows, row_groups=[number], columns=stored):
                    mask = _mask(batch, equal, data.deleted, begin + at)
                    places = np.flatnonzero(mask) + at
                    chosen = batch.filter(pa.array(mask))
                    yield number, places, _completed(file, data, columns, chosen, places + begin)
                    at += len(batch)
            begin += count


def _mask(batch: pa.RecordBatch, equal: Mapping[str, Value], deleted: Positions, begin: int) -> npt.NDArray[np.bool_]:
    """Which rows of a batch, whose first row has a position in its file, are wanted."""
    mask = np.ones(len(batch), bool)
    for column, value in equal.items():
        same = pc.fill_null(
            pc.equal(batch.column(column), pa.scalar(value, batch.column(column).type)), fill_value=False
        )
        mask &= np.asarray(same.to_numpy(zero_copy_only=False), bool)
    low, high = np.searchsorted(deleted, [begin, begin + len(batch)])
    mask[deleted[low:high] - begin] = False
    return mask


def _completed(
    file: ArchiveFile, data: DataFile, columns: Sequence[str], chosen: pa.RecordBatch, positions: Positions
) -> pa.RecordBatch:
    """The wanted columns of chosen rows."""
    arrays = []
    for name in columns:
        if name in chosen.schema.names:
            values = chosen.column(name)
        elif name == ROW_ID:
            values = pa.nulls(len(chosen), pa.int64())
        else:
            values = pa.nulls(len(chosen))
        if name == ROW_ID and data.first_row_id is not None:
            values = pc.coalesce(values, pa.array(positions + data.first_row_id))
        arrays.append(values)
    return pa.record_batch(arrays, names=list(columns))


def _is_checked(storage: Storage, path: str) -> bool:
    """Whether the bytes of a file without a seal, such as one that Spark wrote, match checksums: on HDFS each read
    compares them, on a disk Hadoop's checksum file beside the file, if there is one, has them.
    """
    if not has_sides(storage):
        return True
    agree = sums_agree(storage, path)
    if agree is False:
        raise StoredFileDamaged(path, "it does not match Hadoop's checksum file beside it")
    return agree is True
