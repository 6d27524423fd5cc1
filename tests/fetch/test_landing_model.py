"""Whatever visits append and drop, and in whatever order runs are written: the files hold what a list would hold."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.fetch import contents_file
from pipeline.fetch import row_groups as row_groups_module
from pipeline.fetch.landing import Landing
from pipeline.fetch.local_file import LocalFile
from pipeline.fetch.parquet import open_parquet
from pipeline.model import tables
from pipeline.model.tables import Table

TABLES = {"trees": tables.TREES, "contents": tables.CONTENTS, "tags": tables.TAGS}

Rows = tuple[str, int, int]
"""A table, the number of rows, and the size of each in bytes."""

ROWS = st.tuples(st.sampled_from(sorted(TABLES)), st.integers(1, 30), st.sampled_from([1, 100, 3000]))
VISITS = st.lists(st.tuples(st.lists(ROWS, max_size=6), st.integers(0, 3), st.booleans()), max_size=12)
"""Rows, the number of rows of a file of contents that the visit has written, and whether the visit ends well."""


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(VISITS, st.sampled_from([2_000, 20_000, 200_000]))
def test_files_hold_what_was_kept(visits: Sequence[tuple[Sequence[Rows], int, bool]], run_bytes: int) -> None:
    folder, theirs = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    try:
        landing, number = Landing(folder, run_bytes), 0
        kept: dict[str, list[bytes]] = {name: [] for name in TABLES}
        raw_bytes = dict.fromkeys(TABLES, 0)
        for rows, filed, is_kept in visits:
            landing.begin()
            mine: dict[str, list[bytes]] = {name: [] for name in TABLES}
            before = dict(raw_bytes)
            for name, count, size in rows:
                ids = [(number + at).to_bytes(20, "big") for at in range(count)]
                number += count
                landing.append(TABLES[name], batch_of(TABLES[name], ids, size), count * size)
                mine[name] += ids
                raw_bytes[name] += count * size
            if filed:
                ids = [(number + at).to_bytes(20, "big") for at in range(filed)]
                number += filed
                landing.make_room()
                landing.adopt(file_of(theirs / "contents.parquet", ids))
                mine["contents"] += ids
                raw_bytes["contents"] += filed
            if is_kept:
                for name, ids in mine.items():
                    kept[name] += ids
            else:
                landing.drop()
                raw_bytes = before
        files = landing.finish()
        assert {file.path for file in files} == set(folder.iterdir())
        assert list(theirs.iterdir()) == []
        assert {name: sum(file.raw_bytes for file in files if file.table == name) for name in TABLES} == raw_bytes
        for name, ids in kept.items():
            found = []
            for file in files:
                if file.table == name:
                    rows = pq.read_table(file.path, columns=["oid"])["oid"].to_pylist()
                    assert file.rows == len(rows) > 0
                    found += rows
            assert sorted(found) == sorted(ids), name
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(theirs)


def file_of(path: Path, ids: Sequence[bytes]) -> LocalFile:
    """A file of contents of one byte each, written by somebody else."""
    with open_parquet(tables.CONTENTS, path, 1, 1 << 20) as file:
        file.write_table(pa.Table.from_batches([batch_of(tables.CONTENTS, ids, 1)]))
    return LocalFile("contents", path, len(ids), len(ids))


def test_a_visit_that_fails_costs_what_it_wrote(tmp_path: Path) -> None:
    """Rows of others are neither read nor written again, and visits that end well share a file."""
    landing, folder = Landing(tmp_path, 1000), tmp_path
    for number in range(6):
        landing.begin()
        landing.append(tables.TREES, batch_of(tables.TREES, [bytes([number]) * 20], 400), 400)
    before = {path: (path.stat().st_ino, path.stat().st_size) for path in folder.iterdir()}
    assert len(before) == 1
    for number in range(20):
        landing.begin()
        for _ in range(3):
            landing.append(tables.TREES, batch_of(tables.TREES, [bytes([number]) * 20], 2000), 2000)
        landing.drop()
    after = {path: path.stat() for path in folder.iterdir()}
    (path,) = before
    assert list(after) == [path]
    assert after[path].st_ino == before[path][0]
    landing.begin()
    landing.append(tables.TREES, batch_of(tables.TREES, [b"z" * 20], 400), 400)
    assert [file.rows for file in landing.finish()] == [6, 1]


@pytest.mark.parametrize(("rows", "groups"), [(100, [1, 1, 1]), (12, [2, 1]), (3, [3])])
def test_row_groups_end_between_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, groups: Sequence[int]
) -> None:
    """So that the bounds of a row group exclude the networks that it does not have."""
    monkeypatch.setattr(row_groups_module, "GROUP_ROWS", 24)
    landing = Landing(tmp_path)
    landing.append(tables.TAGS, batch_of(tables.TAGS, [bytes([n % 3]) for n in range(3 * rows)], 1), 0)
    landing.append(tables.TREES, batch_of(tables.TREES, [bytes([2 * (n % 3)]) for n in range(3 * rows)], 1), 0)
    trees, tags = sorted(landing.finish(), key=lambda file: file.table, reverse=True)
    with pq.ParquetFile(tags.path) as file:
        found = [file.read_row_group(n, ["network"])["network"].to_pylist() for n in range(file.num_row_groups)]
    assert [len(set(networks)) for networks in found] == groups
    assert [network for networks in found for network in networks] == sorted(3 * rows // 3 * [0, 1, 2])
    with pq.ParquetFile(trees.path) as file:
        assert file.num_row_groups == 1


def test_contents_at_head_have_smaller_pages_than_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on another page is not found again, so the bytes say how many pages there are."""
    noise, copies = Random(1).randbytes(100_000), 6
    monkeypatch.setattr(contents_file, "HEAD_PAGE_BYTES", 2 * len(noise) + 100)
    landing = Landing(tmp_path)
    batch = batch_of(tables.CONTENTS, [bytes([n]) * 20 for n in range(2 * copies)], 1)
    batch = batch.set_column(batch.schema.get_field_index("content"), "content", pa.array([noise] * len(batch)))
    landing.append(tables.CONTENTS, batch.cast(tables.CONTENTS.arrow_schema), 2 * copies * len(noise))
    (file,) = landing.finish()
    metadata = pq.read_metadata(file.path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [copies, copies]
    stored = [
        column.total_compressed_size / len(noise)
        for group in groups
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema == "content"
    ]
    assert stored == pytest.approx([copies / 2, 1], rel=0.1)


def test_trees_are_written_before_they_fill_a_run(tmp_path: Path) -> None:
    """While they wait, contents have less room; and a run of them needs as much memory again for a page."""
    landing = Landing(tmp_path, 80_000)
    landing.begin()
    for number in range(1, 40, 2):
        landing.append(tables.TREES, tree(number, 10_000), 10_000)
        landing.append(tables.CONTENTS, batch_of(tables.CONTENTS, [bytes([number]) * 20], 1_000), 1_000)
    trees = next(file for file in landing.finish() if file.table == "trees")
    assert {len(group) for group in row_groups(trees.path)} == {2}


def test_rows_at_head_wait_to_share_a_page_with_those_of_later_runs(tmp_path: Path) -> None:
    """Even if others follow them to the end of the visit; those of a visit that fails are dropped."""
    run_bytes = 100_000
    landing = Landing(tmp_path, run_bytes)
    landing.begin()
    for number in range(0, 40, 2):
        landing.append(tables.TREES, tree(number, 500), 500)
        landing.append(tables.TREES, tree(number + 1, 20_000), 20_000)
    (written,) = (path for path in tmp_path.iterdir())
    landing.begin()
    landing.append(tables.TREES, tree(100, 500), 500)
    for number in range(101, 120, 2):
        landing.append(tables.TREES, tree(number, 20_000), 20_000)
    landing.drop()
    (file,) = landing.finish()
    assert file.path == written
    assert file.raw_bytes == 20 * 500 + 20 * 20_000
    groups = [sorted(table["oid"].to_pylist()) for table in row_groups(file.path)]
    assert [bytes([number]) * 20 for number in range(0, 40, 2)] in groups
    assert len(groups) > 20 * 20_000 // run_bytes
    assert sorted(oid[0] for group in groups for oid in group) == list(range(40))


def test_rows_that_wait_outlive_a_later_visit_that_fails(tmp_path: Path) -> None:
    landing = Landing(tmp_path, 100_000)
    for number, size in ((0, 500), (1, 90_000), (3, 40_000)):
        landing.append(tables.TREES, tree(number, size), size)
    landing.begin()
    for number in range(5, 20, 2):
        landing.append(tables.TREES, tree(number, 40_000), 40_000)
    landing.drop()
    found = [oid for file in landing.finish() for oid in pq.read_table(file.path)["oid"].to_pylist()]
    assert sorted(found) == [bytes([number]) * 20 for number in (0, 1, 3)]


def test_what_waits_takes_little_memory_however_small_its_contents_are(tmp_path: Path) -> None:
    landing = Landing(tmp_path, 400_000)
    for _ in range(3):
        many = [number.to_bytes(20, "little") for number in range(2000)]
        landing.append(tables.TREES, batch_of(tables.TREES, many, 1), len(many))
        landing.append(tables.TREES, tree(1, 310_000), 310_000)
    (file,) = landing.finish()
    assert sum(table["at_head"][0].as_py() for table in row_groups(file.path)) == 3


def test_where_room_is_needed_a_table_that_has_a_part_of_it_is_written_too(tmp_path: Path) -> None:
    landing = Landing(tmp_path, 100_000)
    landing.append(tables.TREES, tree(1, 30_000), 30_000)
    landing.append(tables.TAGS, batch_of(tables.TAGS, [b"t" * 20], 500), 500)
    for number in range(3):
        landing.append(tables.CONTENTS, batch_of(tables.CONTENTS, [bytes([number]) * 20], 30_000), 30_000)
    assert {path.name.split("-")[0].removesuffix(".parquet") for path in tmp_path.iterdir()} == {"trees", "contents"}
    assert {file.table: file.rows for file in landing.finish()} == {"trees": 1, "tags": 1, "contents": 3}


def tree(number: int, size: int) -> pa.RecordBatch:
    """A tree, at HEAD if its number is even."""
    return batch_of(tables.TREES, [bytes([number]) * 20], size)


def row_groups(path: Path) -> list[pa.Table]:
    with pq.ParquetFile(path) as file:
        return [file.read_row_group(number) for number in range(file.num_row_groups)]


def test_a_large_row_is_written_without_copies_of_it(tmp_path: Path) -> None:
    """The only other copy is its page, which Parquet takes from another pool."""
    size = 32 << 20
    landing, batch = Landing(tmp_path, 1000), batch_of(tables.TAGS, [b"x" * 20], size)
    usual = pa.default_memory_pool()
    pa.set_memory_pool(counting := pa.proxy_memory_pool(usual))
    try:
        landing.append(tables.TAGS, batch, size)
        (file,) = landing.finish()
    finally:
        pa.set_memory_pool(usual)
    assert counting.max_memory() < size / 2
    assert file.rows == 1


def batch_of(table: Table, ids: Sequence[bytes], size: int) -> pa.RecordBatch:
    """Rows with these ids, some of them at HEAD, each with one large value and nothing else."""
    arrays = []
    for column in table.columns:
        match column.name:
            case "oid":
                values: list[object] = list(ids)
            case "bucket" | "network":
                values = [oid[-1] % 3 for oid in ids]
            case "at_head":
                values = [oid[-1] % 2 == 0 for oid in ids]
            case "content" | "raw":
                values = [oid[-1:] * size for oid in ids]
            case _:
                values = [None for _ in ids]
        arrays.append(pa.array(values, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=table.arrow_schema)
