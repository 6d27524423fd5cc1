"""Footers of our Parquet files: any flipped bit is reported or harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fetch import id_index
from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.rewrite_file import doomed_rows
from pipeline.model.tables import BLOBS, COMMITS, REFS, Table
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.storage.parquet import ArchiveFile, SealedWriter, check_bounds, open_parquet_file
from pipeline.storage.thrift import read_struct, write_struct
from tests.fetch.archive import known_ids

NETWORK, URL, OID = 0x1122334455, "https://host/a", b"o" * 20


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def storage_path(storage: LocalStorage) -> Path:
    return Path(storage.root_uri.removeprefix("file://")) / "t.parquet"


def write(storage: LocalStorage, table: Table, **values: object) -> Path:
    """A file with one row, ``t.parquet``."""
    columns = {field.name: pa.nulls(1, field.type) for field in table.arrow_schema}
    given = {"bucket": 1, "network": NETWORK, **values}
    columns |= {name: pa.array([value], table.arrow_schema.field(name).type) for name, value in given.items()}
    path = storage_path(storage)
    with SealedWriter(path, table.arrow_schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.table(columns, table.arrow_schema))
    return path


def flips(path: Path, begin: int, end: int) -> Iterator[None]:
    """The file with each bit of these bytes flipped, one at a time."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * begin, 8 * end):
            for value in (whole[bit // 8] ^ 1 << bit % 8, whole[bit // 8]):
                file.seek(bit // 8)
                file.write(bytes([value]))
                if value != whole[bit // 8]:
                    yield


def footer_of(path: Path) -> range:
    """The position of the footer, including its length and magic."""
    data = path.read_bytes()
    return range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data))


def test_any_reader_reads_a_sealed_file(storage: LocalStorage) -> None:
    path = write(storage, REFS, origin=URL, name="HEAD", target=OID)
    assert pq.read_table(path)["origin"].to_pylist() == [URL]
    with open_parquet_file(storage, path.name) as file:
        assert file.sealed
        assert file.bounds(0, "network") == (NETWORK, NETWORK)
        assert file.read().equals(pq.read_table(path))


def test_a_flipped_bit_of_a_footer_is_told_or_does_no_harm(storage: LocalStorage) -> None:
    path = write(storage, REFS, origin=URL, name="HEAD", target=OID)
    footer, right, told = footer_of(path), pq.read_table(path), 0
    for _ in flips(path, footer.start - 12, footer.stop):
        try:
            with open_parquet_file(storage, path.name) as file:
                assert file.bounds(0, "network") in (None, (NETWORK, NETWORK))
                assert file.read().equals(right)
        except StoredFileDamaged:
            told += 1
    assert told >= 8 * len(footer)


def page_headers(path: Path) -> Iterator[tuple[str, range]]:
    """The columns of a file's only row group, and the position of the header of each of their pages."""
    data, group = path.read_bytes(), pq.read_metadata(path).row_group(0)
    for number in range(group.num_columns):
        column = group.column(number)
        at = column.dictionary_page_offset or column.data_page_offset
        end = at + column.total_compressed_size
        while at < end:
            header = read_struct(data[at:])
            body = at + len(write_struct(header))
            yield column.path_in_schema, range(at, body)
            at = body + header[3].value


READERS: dict[str, Callable[[ArchiveFile, str], pa.Table]] = {
    "column": lambda file, name: file.read([name]),
    "column of a group": lambda file, name: file.read_row_group(0, [name]),
    "batches of a column": lambda file, name: pa.Table.from_batches(list(file.iter_batches(2, columns=[name]))),
    "batches": lambda file, _: pa.Table.from_batches(list(file.iter_batches(2, [0]))),
}


@pytest.mark.parametrize("how", READERS)
def test_a_flipped_bit_of_a_page_s_header_is_told_or_does_no_harm(storage: LocalStorage, how: str) -> None:
    """Headers have no checksum. One says how many values there are, and Arrow skips pages of types it does not know."""
    path, told = storage_path(storage), 0
    schema = pa.schema([COMMITS.arrow_schema.field(name) for name in ("network", "oid", "parents")])
    rows = [{"network": n, "oid": OID, "parents": [OID] * (n % 3)} for n in range(6)]
    with SealedWriter(path, schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
    headers = [(column.partition(".")[0], place) for column, place in page_headers(path)]
    assert {column for column, _ in headers} == set(schema.names)
    for column, place in headers:
        with open_parquet_file(storage, path.name) as file:
            right = READERS[how](file, column)
        for _ in flips(path, place.start, place.stop):
            try:
                with open_parquet_file(storage, path.name) as file:
                    assert READERS[how](file, column).equals(right)
            except StoredFileDamaged:
                told += 1
    assert told >= 8 * len(headers)


def statistics_of(path: Path, value: bytes) -> list[int]:
    """The position of a value in the footer."""
    data, found = path.read_bytes(), []
    at = data.find(value, footer_of(path).start)
    while at >= 0:
        found.append(at)
        at = data.find(value, at + 1)
    return found


@pytest.mark.parametrize("sealed", [True, False])
def test_nobody_acts_on_flipped_statistics(
    storage: LocalStorage, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_index, "SMALL_ROWS", 0)
    path = write(storage, BLOBS, oid=OID, stored="yes")
    if not sealed:
        pq.write_table(pq.read_table(path), path, write_page_checksum=True, store_schema=False)
    doomed = Doomed(networks=frozenset({NETWORK}))
    places = statistics_of(path, NETWORK.to_bytes(8, "little"))
    assert len(places) >= 2
    told = refused = 0
    for place in places:
        for _ in flips(path, place, place + 8):
            try:
                check_bounds(storage, storage.uri(path.name), ["network"])
            except StoredFileDamaged:
                refused += 1
            else:
                assert pq.read_table(path, filters=[("network", "=", NETWORK)]).num_rows == 1
            try:
                assert doomed_rows(storage, "blobs", path.name, doomed) == 1
                assert known_ids(storage, [("blobs", path.name)]).which(NETWORK, [OID]) == {OID}
            except StoredFileDamaged:
                told += 1
    assert refused >= 128
    assert told == (64 * len(places) if sealed else 0)
    check_bounds(storage, storage.uri(path.name), ["network"])
