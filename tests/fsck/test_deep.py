"""The deep check: errors inside files whose bytes are as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fetch.contents_file import CONTENT, ContentsFile, PageBuffer
from pipeline.fetch.parquet import parquet_options
from pipeline.maintain.fsck import deep as module
from pipeline.model.tables import BY_NAME, Table
from pipeline.storage.parquet import SealedWriter
from tests.fsck.conftest import Story
from tests.fsck.flips import flip
from tests.fsck.test_quick import check

Change = Callable[[list[dict[str, Any]]], None]


def write(path: Path, table: Table, groups: list[list[dict[str, Any]]], padding: int) -> None:
    """Write a file as landing does, with so many bytes before its footer that belong to nothing."""
    parts = [pa.Table.from_pylist(rows, table.arrow_schema) for rows in groups]
    if CONTENT in table.column_names:
        buffer = PageBuffer()
        with ContentsFile(table, path) as file:
            for part, rows in zip(parts, groups, strict=True):
                file.write_group(part.drop_columns([CONTENT]), buffer.pages([memoryview(row[CONTENT]) for row in rows]))
            file._file.write(bytes(padding))
        return
    out = pa.OSFile(str(path), "wb")
    with SealedWriter(path, table.arrow_schema, out, **parquet_options(table)) as file:
        for part in parts:
            file.write_table(part)
        out.write(bytes(padding))


def rewrite(story: Story, table: str, bucket: int, change: Change) -> str:
    """Give a landed file different rows, as a defective writer would have; return its path."""
    path = story.files(f"tables/code/{table}/data/2026-11-02/bucket={bucket}/*.parquet")[0]
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(group).to_pylist() for group in range(file.num_row_groups)]
    change(groups[0])
    size = path.stat().st_size
    write(path, BY_NAME[table], groups, 0)
    # Java reads no file of another size than the manifest has; of those that become larger it reads none here.
    write(path, BY_NAME[table], groups, max(size - path.stat().st_size, 0))
    return path.relative_to(story.root).as_posix()


def forget_sizes(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence the quick check: these tests are about errors that it cannot see."""
    monkeypatch.setattr("pipeline.maintain.fsck.run_fsck.quick", lambda *_: None)


def other_bytes(rows: list[dict[str, Any]]) -> None:
    longest = max(rows, key=lambda row: len(row["content"]))
    longest["content"] = b"!" * len(longest["content"])  # takes less, so that there is room to pad


def other_message(rows: list[dict[str, Any]]) -> None:
    rows[0]["message"] += "!"


def lost(rows: list[dict[str, Any]]) -> None:
    del rows[0]


def doubled(rows: list[dict[str, Any]]) -> None:
    rows.append(dict(rows[0]))


def other_sum(rows: list[dict[str, Any]]) -> None:
    next(row for row in rows if row["stored"] == "yes")["sha256"] = bytes(32)


@pytest.mark.slow
def test_every_kind_of_finding(intact: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    said = intact.archive.ask("fsck", "--deep")
    assert said["findings"] == []
    assert said["objects"] > 60
    forget_sizes(intact, monkeypatch)
    rewrite(intact, "contents", 0, other_bytes)
    rewrite(intact, "commits", 0, other_message)
    rewrite(intact, "trees", 1, lost)
    rewrite(intact, "commits", 1, doubled)
    rewrite(intact, "contents", 1, lost)
    rewrite(intact, "blobs", 3, other_sum)
    for damaged in intact.files("tables/code/files/data/**/bucket=3/[!.]*.parquet"):  # one of them is from today
        (damaged.parent / f".{damaged.name}.crc").unlink()
        flip(damaged, 8 * damaged.stat().st_size - 1)
    found = {(f["kind"], f["table"].removeprefix("code."), f["bucket"]) for f in check(intact, "--deep")}
    assert found >= {
        ("object_damaged", "contents", 0),
        ("object_damaged", "commits", 0),
        ("object_missing", "commits", 1),
        ("object_doubled", "commits", 1),
        ("content_disagrees", "contents", 1),
        ("content_disagrees", "blobs", 3),
    }
    assert any(table == "files" and bucket == 3 for _, table, bucket in found)
    assert {bucket for kind, _, bucket in found if kind == "object_missing"} == {1}


@pytest.mark.slow
def test_goes_on_where_it_was_killed(intact: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_sizes(intact, monkeypatch)
    rewrite(intact, "contents", 0, other_bytes)
    monkeypatch.setattr(module, "SLICE_BYTES_A_THREAD", 1)
    real, slices = module._slice, []

    class Killed(BaseException):
        pass

    def counting(*arguments: Any) -> Any:
        slices.append(arguments[2])
        if len(slices) == 2:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(module, "_slice", counting)
    with pytest.raises(Killed):
        intact.archive.run("fsck", "--deep")
    said = intact.archive.ask("fsck", "--deep", code=3)
    assert said["resumed"] == 1
    assert slices == [[0], [1], [1], [3]]
    assert {f["bucket"] for f in said["findings"]} == {0}


@pytest.mark.slow
def test_rows_that_are_deleted_do_not_count(intact: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marking blobs as at HEAD deletes and adds rows: none is doubled or missing."""
    spark = intact.archive.spark
    spark.sql("UPDATE archive.code.contents SET at_head = NOT at_head WHERE bucket = 1")
    check(intact, "--deep", "--bucket", "1", code=0)
    spark.sql("DELETE FROM archive.code.contents WHERE bucket = 1 AND size < 20")
    assert {f["kind"] for f in check(intact, "--deep", "--bucket", "1")} == {"content_disagrees"}
