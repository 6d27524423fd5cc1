"""Which parts of data files are read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import ArchiveFile
from pipeline.storage.paths import side_path
from pipeline.tables.snapshot import rows as rows_module
from pipeline.tables.snapshot.live_files import DataFile
from pipeline.tables.snapshot.rows import CONTENT_BATCH_ROWS, Group, rows, rows_of

PATH = "data/a.parquet"
ROWS = 2_000
"""Of each row group; the number of a row group is the network of all its rows."""

SUM_BYTES = 512


class Hdfs(LocalStorage):
    """Says that it is HDFS; counts how often files are opened."""

    opened = 0

    @property
    def root_uri(self) -> str:
        return f"hdfs://name{super().root_uri.removeprefix('file://')}"

    def open(self, path: str) -> BinaryIO:
        self.opened += 1
        return super().open(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An archive with a file as Spark writes it: without a seal."""
    path = tmp_path / PATH
    path.parent.mkdir()
    networks = np.repeat(np.arange(3), ROWS)
    pq.write_table(pa.table({"network": networks, "number": np.arange(len(networks))}), path, row_group_size=ROWS)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Row group and number of rows of each batch that is read."""
    noted = []
    iter_batches = ArchiveFile.iter_batches

    def counted(self: ArchiveFile, size: int = 1, *, row_groups: list[int], **options: Any) -> Iterator[pa.RecordBatch]:
        for batch in iter_batches(self, size, row_groups=row_groups, **options):
            noted.append((row_groups[0], len(batch)))
            yield batch

    monkeypatch.setattr(ArchiveFile, "iter_batches", counted)
    return noted


def numbers(storage: LocalStorage) -> list[int]:
    batches = rows(storage, DataFile(PATH), ["number"], {"network": 1})
    return [number for batch in batches for number in batch.column("number").to_pylist()]


def write_sums(archive: Path, data: bytes) -> None:
    sums = (zlib.crc32(data[at : at + SUM_BYTES]).to_bytes(4, "big") for at in range(0, len(data), SUM_BYTES))
    (archive / side_path(PATH)).write_bytes(b"crc\0" + SUM_BYTES.to_bytes(4, "big") + b"".join(sums))


def test_other_row_groups_are_skipped_if_the_storage_checks_its_bytes(
    data: Path, tmp_path: Path, read: list[tuple[int, int]]
) -> None:
    storage = Hdfs(tmp_path)
    assert numbers(storage) == list(range(ROWS, 2 * ROWS))
    assert read == [(1, ROWS)]
    assert storage.opened == 1


def test_other_row_groups_are_skipped_if_checksums_agree(
    data: Path, tmp_path: Path, read: list[tuple[int, int]]
) -> None:
    storage = LocalStorage(tmp_path)
    assert numbers(storage) == list(range(ROWS, 2 * ROWS))
    assert [group for group, _ in read] == [0, 1, 2], "nothing vouches for the statistics"
    read.clear()
    write_sums(tmp_path, data.read_bytes())
    assert numbers(storage) == list(range(ROWS, 2 * ROWS))
    assert read == [(1, ROWS)]
    write_sums(tmp_path, data.read_bytes()[:-1] + b"x")
    with pytest.raises(StoredFileDamaged, match="does not match Hadoop's checksum file"):
        numbers(storage)


def test_nothing_is_read_after_the_last_wanted_row(data: Path, tmp_path: Path, read: list[tuple[int, int]]) -> None:
    group = Group(PATH, 2, np.array([3, CONTENT_BATCH_ROWS + 1]), np.ones(2, np.int64))
    (first, second) = rows_of(LocalStorage(tmp_path), group, ["number"])
    assert first.column("number").to_pylist() == [2 * ROWS + 3]
    assert second.column("number").to_pylist() == [2 * ROWS + CONTENT_BATCH_ROWS + 1]
    assert read == [(2, CONTENT_BATCH_ROWS)] * 2


def test_large_rows_come_in_small_batches(
    data: Path, tmp_path: Path, read: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    group_bytes = pq.read_metadata(data).row_group(2).total_byte_size
    monkeypatch.setattr(rows_module, "_CONTENT_BATCH_BYTES", group_bytes * 100 // ROWS + 1)
    group = Group(PATH, 2, np.array([3, 205]), np.ones(2, np.int64))
    found = pa.Table.from_batches(rows_of(LocalStorage(tmp_path), group, ["number"]))
    assert found.column("number").to_pylist() == [2 * ROWS + 3, 2 * ROWS + 205]
    assert read == [(2, 100)] * 3
    read.clear()
    monkeypatch.setattr(rows_module, "_CONTENT_BATCH_BYTES", 1)
    assert sum(map(len, rows_of(LocalStorage(tmp_path), group.part(slice(1)), ["number"]))) == 1
    assert read == [(2, 1)] * 4
