"""Files whose large values we compress ourselves are Parquet that others read, and say so where they are damaged."""

from __future__ import annotations

import io
import resource
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch import contents_file
from pipeline.fetch.batches import record_batch
from pipeline.fetch.confine import memory_bytes
from pipeline.fetch.contents_file import ContentsFile, PageBuffer
from pipeline.fetch.page_compression import compacting
from pipeline.fetch.parquet import ZSTD_LEVEL, open_parquet
from pipeline.model.rows import ContentRow
from pipeline.model.tables import CONTENTS, LANDED, Table
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.parquet import parquet_in
from pipeline.storage.thrift import read_struct, write_struct

PAGE = 1000
CONTENT = CONTENTS.column_names.index("content")


def write(path: Path, groups: Sequence[Sequence[bytes]], most_bytes: int = PAGE) -> pa.Table:
    """Write row groups of these contents, and return the rows."""
    batches = []
    buffer = PageBuffer(most_bytes)
    with ContentsFile(CONTENTS, path) as file:
        for group in groups:
            rows = [
                ContentRow(1, 2, bytes([n % 256]) * 20, len(value), "c", f"{n}.c", at_head=n % 3 == 0, content=value)
                for n, value in enumerate(group)
            ]
            batches.append(record_batch(CONTENTS, rows))
            others = pa.Table.from_batches([batches[-1].drop_columns(["content"])])
            file.write_group(others, buffer.pages([memoryview(value) for value in group]))
    return pa.Table.from_batches(batches)


def read(path: Path) -> pa.Table:
    with path.open("rb") as stream, parquet_in(stream, str(path)) as file:
        assert file.sealed
        return file.read()


@given(groups=st.lists(st.lists(st.binary(max_size=2 * PAGE), min_size=1, max_size=9), min_size=1, max_size=3))
def test_contents_come_back(groups: list[list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("file") / "contents.parquet"
    wanted = write(path, groups)
    assert read(path).equals(wanted)


def test_many_values_take_several_pages_and_the_footer_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "contents.parquet"
    groups = [[Random(n).randbytes(n % 50) for n in range(300)], [b"", Random(5).randbytes(5 * PAGE), b"x" * 9, b""]]
    wanted = write(path, groups)
    assert read(path).equals(wanted)
    data = path.read_bytes()
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == len(groups)
    for number, group in enumerate(groups):
        said = file.metadata.row_group(number)
        columns = [said.column(at) for at in range(said.num_columns)]
        pages = headers(data, columns[CONTENT])
        raw_bytes = sum(4 + len(value) for value in group)
        assert len(pages) > 1
        assert sum(count for count, _ in pages) == len(group)
        assert raw_bytes < columns[CONTENT].total_uncompressed_size < raw_bytes + 50 * len(pages)
        assert said.total_byte_size == sum(column.total_uncompressed_size for column in columns)
        assert columns[CONTENT].statistics is None
        assert all(size <= PAGE + 10 or count == 1 for count, size in pages)


def headers(data: bytes, column: pq.ColumnChunkMetaData) -> list[tuple[int, int]]:
    """Values and raw bytes of each page of a column, whose pages lie one behind the other."""
    at, pages = column.data_page_offset, []
    end = at + column.total_compressed_size
    while at < end:
        header = read_struct(data[at:])
        pages.append((header[5].value[1].value, header[2].value))
        at += len(write_struct(header)) + header[3].value
    assert at == end
    return pages


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "contents.parquet"
    write(path, [[Random(1).randbytes(500)]])
    column = pq.ParquetFile(path).metadata.row_group(0).column(CONTENT)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 9] ^= 4
    path.write_bytes(data)
    with pytest.raises(StoredFileDamaged):
        read(path)


@pytest.mark.parametrize("claim", [1 << 31, (1 << 31) - 1, None])
def test_a_page_that_says_to_be_huge_is_damage_and_no_lack_of_memory(
    claim: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a visit's process meets it, which may have so much memory and no more."""
    path, header = tmp_path / "contents.parquet", contents_file._page_header
    if claim is not None:
        monkeypatch.setattr(contents_file, "_page_header", lambda count, _, body: header(count, claim, body))
    wanted = write(path, [[b"one", b"two"], [b"three"]])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes().space + (1 << 29), before[1]))
    try:
        if claim is None:
            assert read(path).equals(wanted)
            with path.open("rb") as stream, pytest.raises(MemoryError), parquet_in(stream, str(path)):
                bytearray(1 << 31)
        else:
            with pytest.raises(StoredFileDamaged, match="contents"):
                read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_zstd_finds_what_is_further_back_than_its_usual_window(tmp_path: Path) -> None:
    text, noise = Random(1).randbytes(1 << 16), Random(2).randbytes(5 << 20)
    sizes = []
    for name, contents in (("once", [text, noise]), ("twice", [text, noise, text])):
        write(tmp_path / name, [contents], most_bytes=16 << 20)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] - sizes[0] < 1000


@pytest.mark.parametrize("table", LANDED, ids=lambda table: table.name)
def test_what_is_read_of_a_footer_is_written_again(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    empty = pa.Table.from_batches([], schema=table.arrow_schema)
    rows = pa.Table.from_arrays([pa.nulls(20, column.type) for column in table.columns], schema=table.arrow_schema)
    with open_parquet(table, path, ZSTD_LEVEL, 1 << 20) as file:
        for part in [empty, *[rows] * 20]:
            file.write_table(part)
    data = path.read_bytes()
    footer = data[-int.from_bytes(data[-8:-4], "little") - 8 : -8]
    assert write_struct(read_struct(footer)) == footer
    whole = io.BytesIO()
    pq.write_metadata(table.arrow_schema, whole)
    footer = whole.getvalue()[4:-8]
    assert write_struct(read_struct(footer)) == footer


@pytest.mark.parametrize("data", [b"", b"\x18\x05abc", b"\x1b\x01\x88", b"\x19\x11\x01\0"])
def test_bytes_that_are_no_struct_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_struct(data)


def test_a_small_page_takes_no_more_memory_than_its_values() -> None:
    buffer = PageBuffer(256 << 20)
    before = psutil.Process().memory_info().rss
    (page,) = buffer.pages([memoryview(b"x")])
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert page.raw_bytes < 100


@pytest.mark.parametrize(("values", "pages"), [(9, [9]), (10, [5, 5]), (22, [7, 7, 8]), (31, [7, 8, 8, 8])])
def test_pages_are_equally_large(values: int, pages: Sequence[int]) -> None:
    """A last page of few values would begin with nothing, too."""
    found = PageBuffer(PAGE).pages([memoryview(bytes(100))] * values)
    assert [round(page.raw_bytes / 104) for page in found] == pages


def test_a_compacted_page_is_read_and_finds_what_is_far_behind(tmp_path: Path) -> None:
    noise = [Random(n).randbytes(1 << 20) for n in range(9)]
    path = tmp_path / "contents.parquet"
    buffer = PageBuffer(64 << 20, compacting(18))
    with ContentsFile(CONTENTS, path, 18) as file:
        contents = [*noise, *noise]
        rows = [ContentRow(1, 2, bytes([n]) * 20, 1 << 20, "c", "a.c", at_head=False, content=b"") for n in range(18)]
        batch = record_batch(CONTENTS, rows).drop_columns(["content"])
        file.write_group(pa.Table.from_batches([batch]), buffer.pages([memoryview(value) for value in contents]))
    assert path.stat().st_size < (9 << 20) + (1 << 17)
    assert read(path)["content"].to_pylist() == contents
