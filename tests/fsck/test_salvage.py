"""What repair takes from a damaged file: rows that are as they were, and no others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.maintain.fsck.salvage import Key, RowFile, salvage
from pipeline.model.tables import BLOBS
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import SealedWriter

ROWS = 3_000
NETWORK = 7
TYPE, BODY = 1, -2
"""Where to flip a bit of a page: the first value of its header, which is its type; and its end."""


def sha256_of(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def oid_of(number: int) -> bytes:
    return hashlib.sha1(b"%d" % number).digest()


@pytest.mark.parametrize("column", ["sha256", "oid"])
@pytest.mark.parametrize(("at", "some"), [(TYPE, False), (BODY, True)])
def test_no_row_has_another_row_s_values(column: str, at: int, some: bool, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    path = tmp_path / "blobs.parquet"
    rows = [
        {"bucket": 1, "network": NETWORK, "oid": oid_of(n), "sha256": sha256_of(n), "size": n, "stored": "yes"}
        for n in range(ROWS)
    ]
    options = {"data_page_size": 4_000, "write_batch_size": 64, "store_schema": False}
    with SealedWriter(path, BLOBS.arrow_schema, use_dictionary=False, **options) as writer:
        writer.write_table(pa.Table.from_pylist(rows, BLOBS.arrow_schema))
    said = pq.read_metadata(path).row_group(0).column(BLOBS.column_names.index(column))
    data = bytearray(path.read_bytes())
    data[said.data_page_offset + (at if at >= 0 else said.total_compressed_size + at)] ^= 2
    path.write_bytes(data)

    live: set[Key] = set()
    into = RowFile(BLOBS, tmp_path / "new.parquet")
    salvage(storage, BLOBS.name, [path.name], live, into, frozenset())
    new = into.finish()
    found = [] if new is None else pq.read_table(new).to_pylist()
    assert bool(found) == (some and column != "oid"), "a row group without all ids is left, too"
    assert len(found) < ROWS
    for row in found:
        assert (row["oid"], row["sha256"]) == (oid_of(row["size"]), sha256_of(row["size"]))
    assert live == {(NETWORK, row["oid"]) for row in found}
