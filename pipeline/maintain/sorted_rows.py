"""The order of a compacted bucket, and its rows in that order, in bounded memory.

Ids and names of a bucket are sorted as a whole; the bytes are then fetched part by part in that order. A part opens
only the row groups that hold its rows. Landed runs are sorted, so these are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.model.tables import Table
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_data_file

BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to fetch together: ``rows`` as ``in_order`` returns them. ``at_head`` is the same for all."""

    at_head: bool
    rows: pa.Table


def key_names(table: Table) -> list[str]:
    """The columns that define the order."""
    return [name for name in ("network", "oid", "at_head", "ext", "name") if name in table.column_names]


def read_keys(storage: Storage, table: Table, uris: Sequence[str]) -> pa.Table:
    """All rows of data files without their bytes, in the form that ``in_order`` takes.

    Raises:
        StorageError: a file cannot be read, or is not below the archive's root.
    """
    names = key_names(table)
    sized = "size" in table.column_names
    columns = [*names, "size" if sized else "content"]
    found: list[pa.Table] = []
    for uri in uris:
        with open_data_file(storage, uri) as file:
            begin = 0
            for batch in file.iter_batches(1 << 16 if sized else BATCH_ROWS, columns=columns):
                sizes = batch.column("size") if sized else pc.binary_length(batch.column("content"))
                keys = {
                    "file": pa.repeat(pa.scalar(uri), len(batch)),
                    "pos": pa.array(np.arange(begin, begin + len(batch))),
                    "size_bytes": sizes.cast(pa.int64()),
                    **{name: batch.column(name) for name in names},
                    "oid": batch.column("oid").cast(pa.binary()),
                }
                found.append(pa.Table.from_pydict(keys))
                begin += len(batch)
    return pa.concat_tables(found)


def in_order(keys: pa.Table, at_head: pa.Table | None) -> pa.Table:
    """Each object once, sorted by at_head (true first), network, ext, name, order of arrival.

    Args:
        keys: live rows: file, pos, network, oid, at_head, size_bytes, and ext and name if the table has them.
        at_head: network and oid of objects that are at HEAD now; None to trust the flags of ``keys``.

    Returns:
        The columns of ``keys``, with the current ``at_head``. Of two rows of one object one remains, and the object is
        at HEAD if either was.
    """
    arrival = [("file", "ascending"), ("pos", "ascending")]
    keys = keys.take(pc.sort_indices(keys, sort_keys=arrival)).append_column("arrival", pa.array(range(len(keys))))
    seen = keys.group_by(["network", "oid"]).aggregate([("arrival", "min"), ("at_head", "max")])
    keys = keys.drop_columns(["at_head"]).join(
        seen.select(["arrival_min", "at_head_max"]).rename_columns(["arrival", "at_head"]), "arrival", join_type="inner"
    )
    if at_head is not None:
        flags = at_head.select(["network", "oid"]).append_column("now", pa.repeat(pa.scalar(True), len(at_head)))
        keys = keys.drop_columns(["at_head"]).join(flags, ["network", "oid"], join_type="left outer")
        keys = keys.append_column("at_head", pc.fill_null(keys["now"], False)).drop_columns(["now"])
    named = [(name, "ascending") for name in ("network", "ext", "name") if name in keys.column_names]
    order = [("at_head", "descending"), *named, ("arrival", "ascending")]
    return keys.take(pc.sort_indices(keys, sort_keys=order)).drop_columns(["arrival"])


def parts(rows: pa.Table, part_bytes: int) -> Iterator[Part]:
    """Cut sorted rows where the flag changes and where a part would exceed its size; a row is never cut."""
    flags = rows["at_head"].to_numpy()
    sizes = rows["size_bytes"].to_numpy()
    heads = int(np.count_nonzero(flags))
    for begin, end in ((0, heads), (heads, len(flags))):
        at = begin
        while at < end:
            until = at + max(int(np.searchsorted(np.cumsum(sizes[at:end]), part_bytes, side="right")), 1)
            yield Part(bool(flags[at]), rows.slice(at, until - at))
            at = until


def fetch(storage: Storage, table: Table, part: Part) -> pa.Table:
    """The whole rows of a part, in its order and with its flag.

    Raises:
        StorageError: a file cannot be read, or is not below the archive's root.
    """
    files = part.rows["file"].combine_chunks().dictionary_encode()
    codes, positions = files.indices.to_numpy(), part.rows["pos"].to_numpy()
    contents: list[bytes | None] = [None] * len(codes)
    found: list[pa.RecordBatch] = []
    ranks: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for code, uri in enumerate(files.dictionary.to_pylist()):
        mine = np.flatnonzero(codes == code)
        mine = mine[np.argsort(positions[mine], kind="stable")]
        for batch, taken in _rows(storage, uri, table, positions[mine]):
            found.append(batch.drop_columns(["content"]))
            ranks.append(mine[taken])
            for rank, content in zip(ranks[-1].tolist(), batch.column("content"), strict=True):
                contents[rank] = content.as_py()
    whole = pa.Table.from_batches(found)
    whole = whole.take(pa.array(np.argsort(np.concatenate(ranks)))).append_column("content", _handed_over(contents))
    flag = pa.repeat(pa.scalar(part.at_head), len(whole))
    at = table.column_names.index("at_head")
    return whole.select(list(table.column_names)).set_column(at, table.arrow_schema.field(at), flag)


def _handed_over(contents: list[bytes | None]) -> pa.ChunkedArray:
    """Values in the same order; each is released once Arrow has it, so that a part is in memory only once."""
    chunks = []
    for at in range(0, len(contents), BATCH_ROWS):
        chunks.append(pa.array(contents[at : at + BATCH_ROWS], pa.binary()))
        contents[at : at + BATCH_ROWS] = [None] * len(chunks[-1])
    return pa.chunked_array(chunks, pa.binary())


def _rows(
    storage: Storage, uri: str, table: Table, positions: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Iterator[tuple[pa.RecordBatch, slice]]:
    """The rows at sorted positions of a file, batch by batch, and the positions that each batch covers."""
    with open_data_file(storage, uri) as file:
        begin = 0
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(positions, [begin, end])
            if low < high:
                yield from _of_group(file, group, begin, table, positions, int(low), int(high))
            begin = end


def _of_group(
    file: pq.ParquetFile,
    group: int,
    begin: int,
    table: Table,
    positions: np.ndarray[tuple[int], np.dtype[np.int64]],
    low: int,
    high: int,
) -> Iterator[tuple[pa.RecordBatch, slice]]:
    columns = list(table.column_names)
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
        until = low + int(np.searchsorted(positions[low:high], begin + len(batch)))
        if until > low:
            taken = batch.take(pa.array(positions[low:until] - begin))
            yield taken.select(columns).cast(table.arrow_schema), slice(low, until)
        low, begin = until, begin + len(batch)
        if low == high:
            return
