"""The order of a compacted piece, and its rows in that order, in bounded memory.

Each row group of a piece is read once: ids, names and places stay in memory, bytes go to a spool on scratch, from which
they are fetched part by part once the order is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.maintain.sources import Piece, Source, among, batches, deleted, inside
from pipeline.model.errors import ScratchFailed
from pipeline.model.tables import Table
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_data_file

BATCH_ROWS = 256
HEAD_BATCH_ROWS = 1 << 16
MOST_APART = 64
"""Batches of ``head_blobs`` whose objects are kept apart, although many forks have the same."""

HEAD_TYPES = pa.schema({"network": pa.int64(), "oid": pa.binary()})


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to write together: ``rows`` as ``in_order`` returns them. ``at_head`` is the same for all."""

    at_head: bool
    rows: pa.Table


def spool(storage: Storage, table: Table, piece: Piece, to: BinaryIO) -> pa.Table:
    """Append the bytes of a piece's rows to a file.

    Returns:
        The other columns of the rows, in order of arrival, with oid as variable binary; and where their bytes begin in
        the file (``begin``) and how many they are (``size_bytes``).

    Raises:
        StoredFileDamaged: a file is damaged or gone, or a row has no bytes.
        StorageError: a file cannot be read, or is not below the archive's root.
        ScratchFailed: the bytes cannot be written.
    """
    columns = [name for name in table.column_names if name != "content"]
    types = pa.schema([(name, table.arrow_schema.field(name).type) for name in columns if name != "oid"])
    found = [_kept(types.empty_table(), [], np.empty(0, np.int64), 0)]
    begin = 0
    for source in piece.sources:
        gone = deleted(storage, source)
        with open_data_file(storage, source.uri) as file:
            for _, at, batch in batches(file, source, [*columns, "content"], BATCH_ROWS):
                mine = inside(piece.rows, batch, source.number, at)
                mine &= ~among(gone, at, len(batch))
                if source.number in piece.doubled:
                    mine &= ~among(piece.doubled[source.number], at, len(batch))
                if not mine.any():
                    continue
                flagged = batch
                if source.number in piece.raised:
                    flagged = _raised(batch, among(piece.raised[source.number], at, len(batch)))
                chosen = flagged if mine.all() else flagged.filter(pa.array(mine))
                sizes = _append(chosen.column("content"), source.uri, to)
                rows = pa.Table.from_batches([chosen.select(types.names)]).cast(types)
                found.append(_kept(rows, chosen.column("oid").cast(pa.binary()), sizes, begin))
                begin += int(sizes.sum())
    return pa.concat_tables(found).combine_chunks()


def _kept(rows: pa.Table, oids: object, sizes: npt.NDArray[np.int64], begin: int) -> pa.Table:
    begins = begin + np.cumsum(sizes) - sizes
    keys = {"oid": pa.array(oids, pa.binary()), "begin": pa.array(begins), "size_bytes": pa.array(sizes)}
    return pa.Table.from_pydict({**{name: rows[name] for name in rows.column_names}, **keys})


def _raised(batch: pa.RecordBatch, now: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    at = batch.schema.get_field_index("at_head")
    return batch.set_column(at, batch.schema.field(at), pc.or_(batch.column(at), pa.array(now)))


def _append(contents: pa.Array, uri: str, to: BinaryIO) -> npt.NDArray[np.int64]:
    """Write values one after the other, without copying them; return their sizes."""
    if contents.null_count:
        raise StoredFileDamaged(uri, "a row has no content")
    contents = contents.cast(pa.binary())
    _, offsets, data = contents.buffers()
    ends = np.frombuffer(offsets, np.int32)[contents.offset : contents.offset + len(contents) + 1].astype(np.int64)
    if data is not None:
        try:
            to.write(memoryview(data)[int(ends[0]) : int(ends[-1])])
        except OSError as error:  # nothing is wrong with the file that is being read
            raise ScratchFailed(to.name, error.strerror or str(error)) from error
    return np.diff(ends)


def read_at_head(storage: Storage, files: Sequence[Source], keys: pa.Table) -> pa.Table:
    """Network and oid of those objects of a piece that are at HEAD, from data files of ``head_blobs``: each
    once.

    Args:
        keys: has network and oid of the piece's rows.

    Raises:
        StoredFileDamaged: a file is damaged or gone.
        StorageError: a file cannot be read, or is not below the archive's root.
    """
    found = [HEAD_TYPES.empty_table()]
    if len(keys):
        low, high = pc.min_max(keys["network"]).as_py().values()
        oids = keys["oid"].combine_chunks()
        for source in files:
            gone = deleted(storage, source)
            with open_data_file(storage, source.uri) as file:
                groups = source.groups or range(file.num_row_groups)
                bounds = {group: file.bounds(group, "network") for group in groups}
                near = tuple(g for g, b in bounds.items() if b is None or (b[0] <= high and low <= b[1]))
                some = Source(source.uri, source.number, near)
                for _, at, batch in batches(file, some, HEAD_TYPES.names, HEAD_BATCH_ROWS):
                    rows = pa.Table.from_batches([batch]).cast(HEAD_TYPES)
                    live = pa.array(~among(gone, at, len(batch)))
                    rows = rows.filter(pc.and_(live, pc.is_in(rows["oid"], oids)))
                    found.append(_distinct([rows]))
                    if len(found) > MOST_APART:
                        found = [_distinct(found)]
    return _distinct(found)


def _distinct(rows: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(rows).group_by(HEAD_TYPES.names, use_threads=False).aggregate([])


def in_order(keys: pa.Table, at_head: pa.Table | None) -> pa.Table:
    """Each object once, sorted by at_head (true first), network, ext, name, order of arrival.

    Args:
        keys: live rows in order of arrival: network, oid, at_head, and ext and name if the table has them.
        at_head: network and oid of objects that are at HEAD now; None to trust the flags of ``keys``.

    Returns:
        The columns of ``keys``, with the current ``at_head``. Of two rows of one object the first remains, and the
        object is at HEAD if either was.
    """
    if not len(keys):
        return keys
    keys = keys.append_column("arrival", pa.array(np.arange(len(keys))))
    seen = keys.group_by(["network", "oid"], use_threads=False).aggregate([("arrival", "min"), ("at_head", "max")])
    if len(seen) < len(keys):
        seen = seen.take(pc.sort_indices(seen["arrival_min"]))
        keys = _flagged(keys.take(seen["arrival_min"]), seen["at_head_max"])
        keys = keys.drop_columns(["arrival"]).append_column("arrival", pa.array(np.arange(len(keys))))
    if at_head is not None:
        now = keys.select(["network", "oid", "arrival"]).join(
            at_head.select(["network", "oid"]), ["network", "oid"], join_type="left semi", use_threads=False
        )
        flags = np.zeros(len(keys), bool)
        flags[now["arrival"].to_numpy()] = True
        keys = _flagged(keys, pa.array(flags))
    named = [(name, "ascending") for name in ("network", "ext", "name") if name in keys.column_names]
    order = [("at_head", "descending"), *named, ("arrival", "ascending")]
    return keys.take(pc.sort_indices(keys, sort_keys=order)).drop_columns(["arrival"])


def _flagged(keys: pa.Table, flags: pa.Array | pa.ChunkedArray) -> pa.Table:
    return keys.set_column(keys.column_names.index("at_head"), "at_head", flags)


def parts(rows: pa.Table, part_bytes: int) -> Iterator[Part]:
    """Cut sorted rows where the flag changes and where a part would exceed its size; a row is never cut."""
    flags = rows["at_head"].to_numpy()
    ends = np.cumsum(rows["size_bytes"].to_numpy())
    heads = int(np.count_nonzero(flags))
    for begin, end in ((0, heads), (heads, len(flags))):
        at = begin
        while at < end:
            before = int(ends[at - 1]) if at else 0
            until = min(max(int(np.searchsorted(ends, before + part_bytes, side="right")), at + 1), end)
            yield Part(bool(flags[at]), rows.slice(at, until - at))
            at = until


def fetch(table: Table, part: Part, spooled: BinaryIO) -> pa.Table:
    """The whole rows of a part, in its order and with its flag; bytes from a spool."""
    columns = {
        name: part.rows[name].cast(table.arrow_schema.field(name).type)
        for name in table.column_names
        if name not in ("content", "at_head")
    }
    columns["at_head"] = pa.repeat(pa.scalar(part.at_head), len(part.rows))
    columns["content"] = _contents(part, spooled)
    return pa.Table.from_pydict({name: columns[name] for name in table.column_names}, table.arrow_schema)


def _contents(part: Part, spooled: BinaryIO) -> pa.Array:
    """The bytes of a part's rows. Rows that are adjacent in the spool are read at once."""
    begins, sizes = part.rows["begin"].to_numpy(), part.rows["size_bytes"].to_numpy()
    ends = np.cumsum(sizes)
    data = pa.allocate_buffer(int(ends[-1]))
    into = memoryview(data)
    first = np.concatenate([[0], np.flatnonzero(begins[1:] != begins[:-1] + sizes[:-1]) + 1, [len(sizes)]])
    for low, high in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        at, end = int(ends[low] - sizes[low]), int(ends[high - 1])
        _read_exactly(spooled, into[at:end], int(begins[low]))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(sizes), [None, pa.py_buffer(offsets), data])


def _read_exactly(spooled: BinaryIO, into: memoryview, begin: int) -> None:
    while len(into):
        count = os.preadv(spooled.fileno(), [into], begin)
        if not count:
            raise OSError(f"the spool {spooled.name} ends at {begin}")
        into, begin = into[count:], begin + count
