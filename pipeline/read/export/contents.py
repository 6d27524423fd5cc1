"""The contents of chosen files, read where they lie, and which of them are text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_data_file
from pipeline.storage.uris import path_below_root
from pipeline.tables.snapshot.rows import Group, rows_of

ENCODING = "UTF-8"
BINARY, OTHER_ENCODING = "binary", "not UTF-8"
"""Why a chosen file is left out when it is read: a NUL byte anywhere, or no valid UTF-8."""


def read_contents(storage: Storage, rows: pa.Table) -> Iterator[tuple[pa.Table, pa.Array]]:
    """Read the contents at some places, in small batches: rows, and the bytes of each.

    Args:
        rows: sorted by uri and position.

    Raises:
        StoredFileDamaged: a file is damaged or gone, or another content is at the place.
    """
    uris = rows["uri"].combine_chunks().dictionary_encode()
    begins = np.flatnonzero(np.diff(uris.indices.to_numpy(), prepend=-1))
    for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
        yield from _in_file(storage, rows["uri"][begin].as_py(), rows.slice(begin, end - begin))


def _in_file(storage: Storage, uri: str, rows: pa.Table) -> Iterator[tuple[pa.Table, pa.Array]]:
    with open_data_file(storage, uri) as file:
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    starts = np.cumsum([0, *counts])
    positions = rows["position"].to_numpy()
    bounds = np.searchsorted(positions, starts)
    path, done = path_below_root(storage, uri), 0
    for number, (low, high) in enumerate(pairwise(bounds)):
        if low == high:
            continue
        wanted = positions[low:high] - starts[number]
        for batch in rows_of(storage, Group(path, number, wanted, np.zeros_like(wanted)), ["oid", "content"]):
            part = rows.slice(done, len(batch))
            if [oid.hex() for oid in batch["oid"].to_pylist()] != part["content_id"].to_pylist():
                raise StoredFileDamaged(uri, "other contents are in it than the table's metadata say")
            yield part, batch["content"]
            done += len(batch)
    if done != len(rows):
        raise StoredFileDamaged(uri, "it has fewer rows than the table's metadata say")


def fault(value: bytes) -> str | None:
    """Why a content is no text; None if it is."""
    if b"\0" in value:
        return BINARY
    try:
        value.decode()
    except UnicodeDecodeError:
        return OTHER_ENCODING
    return None
