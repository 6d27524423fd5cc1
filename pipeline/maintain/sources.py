"""The row groups that hold the rows of a piece, and which of their rows these are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules.compaction import NAME_CHARS, Key, KeyRange
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile
from pipeline.storage.uris import path_below_root
from pipeline.tables.maintained import Vector
from pipeline.tables.snapshot.deletion_vectors import Positions, read_positions

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Source:
    """A data file.

    Attributes:
        number: its rank among the bucket's files, in which rows arrived.
        groups: the row groups to read; None for all.
        vector: its deletion vector.
    """

    uri: str
    number: int
    groups: tuple[int, ...] | None = None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a bucket that a worker reads, sorts and writes on its own.

    Attributes:
        rows: which rows, by their keys; all of the sources that match and are not deleted.
        sources: in order of arrival.
        doubled: sorted positions, by number of the file, of rows to leave out because another piece, or this one, has
            the same object.
        raised: likewise, of rows that are at HEAD because the row that was left out was.
    """

    rows: KeyRange
    sources: tuple[Source, ...]
    doubled: Mapping[int, Positions] = field(default_factory=dict)
    raised: Mapping[int, Positions] = field(default_factory=dict)


def sources(uris: Sequence[str], vectors: Mapping[str, Vector]) -> tuple[Source, ...]:
    """The data files of a bucket.

    Args:
        uris: in order of arrival.
        vectors: by URI of the data file.
    """
    return tuple(Source(uri, number, None, vectors.get(uri)) for number, uri in enumerate(uris))


def deleted(storage: Storage, source: Source) -> Positions:
    """Sorted positions of rows that the bucket lacks.

    Raises:
        StoredFileDamaged: the deletion vector is damaged or gone.
        StorageError: it cannot be read now.
    """
    if source.vector is None:
        return np.empty(0, np.int64)
    path = path_below_root(storage, source.vector.uri)
    try:
        return read_positions(storage, path, source.vector.offset, source.vector.length)
    except FileMissing as error:
        raise StoredFileDamaged(path, "the file is gone") from error


def batches(
    file: ArchiveFile, source: Source, columns: Sequence[str], batch_rows: int
) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Some columns of a source, in batches: number of the row group, position of the first row in the file, rows."""
    begins = np.cumsum([0, *(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups))]).tolist()
    for group in range(file.num_row_groups) if source.groups is None else source.groups:
        begin = begins[group]
        for batch in file.iter_batches(batch_rows, row_groups=[group], columns=list(columns), use_threads=False):
            yield group, begin, batch.select(list(columns))
            begin += len(batch)


def among(positions: Positions, begin: int, count: int) -> Mask:
    """Which of ``count`` rows from ``begin`` have one of these sorted positions."""
    found = np.zeros(count, bool)
    low, high = np.searchsorted(positions, [begin, begin + count])
    found[positions[low:high] - begin] = True
    return found


def inside(rows: KeyRange, batch: pa.RecordBatch, number: int, begin: int) -> Mask:
    """Which rows of a batch belong to a range.

    Args:
        batch: has network and, if its table has them, ext and name.
        number: that of its file.
        begin: position of its first row.
    """
    found = np.ones(len(batch), bool)
    if rows.low is not None:
        found &= _from(rows.low, batch, number, begin)
    if rows.high is not None:
        found &= ~_from(rows.high, batch, number, begin)
    return found


def _from(key: Key, batch: pa.RecordBatch, number: int, begin: int) -> Mask:
    """Which rows have this key or a later one."""
    networks = batch.column("network").to_numpy(zero_copy_only=False)
    if key == Key(key.network):
        return np.asarray(networks >= key.network)
    later = networks > key.network
    equal = networks == key.network
    for name, value in (("ext", key.ext), ("name", key.name)):
        if name in batch.schema.names and equal.any():
            texts = shortened(batch.column(name))
            later |= equal & _bools(pc.greater(texts, value))
            equal &= _bools(pc.equal(texts, value))
    positions = np.arange(begin, begin + len(batch))
    arrived = number > key.file or (number == key.file and positions >= key.pos)
    return np.asarray(later | (equal & arrived))


def shortened(texts: pa.Array) -> pa.Array:
    """The leading characters, by which keys go."""
    return pc.fill_null(pc.utf8_slice_codeunits(texts, 0, NAME_CHARS), "")


def _bools(values: pa.Array) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), bool)
