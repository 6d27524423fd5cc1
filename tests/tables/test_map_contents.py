"""Python workers read the same contents from data files as Spark does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame

from pipeline.model import tables
from pipeline.read.archive import Archive
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.content_guard import Guard
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import OPEN_COST_PROPERTY, RATIO_PROPERTY, SPLIT_PROPERTY, IcebergTable, NewFile, full_name
from pipeline.tables.map_contents import WHOLE_FILE, Reader
from pipeline.tables.writer import unleased
from tests.tables.landed import HEAD_ROWS, ROWS
from tests.tables.landing import BUCKETS

COLUMNS = ("size", "oid", "content")
SCHEMA = "size bigint, oid binary, content binary"


def unchanged(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    return batches


def rows(df: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, df.collect()))


def is_direct(df: DataFrame) -> bool:
    """Whether the plan reads the list of files instead of the table."""
    scanned = str(df._jdf.queryExecution().executedPlan().toString())
    return f"{full_name('contents')}.files" in scanned


@pytest.fixture(scope="module")
def storage(landed_root: Path) -> Storage:
    """The storage of ``landed``."""
    return LocalStorage(landed_root)


@pytest.fixture
def direct(landed: Archive, storage: Storage) -> Iterator[Archive]:
    """The same archive; a test's changes to its contents are undone."""
    table = IcebergTable(landed.spark, "contents")
    snapshot = table.current().id
    properties = {key: table.property(key) or "" for key in (RATIO_PROPERTY, SPLIT_PROPERTY, OPEN_COST_PROPERTY)}
    yield Archive(landed.spark, storage=storage)
    landed.spark.sql(f"CALL system.rollback_to_snapshot('code.contents', {snapshot})")
    unleased(landed.spark).table("contents").set_properties(properties)


@pytest.mark.slow
@pytest.mark.parametrize("head_only", [False, True])
def test_workers_read_what_spark_reads(landed: Archive, direct: Archive, head_only: bool) -> None:
    ours = direct.map_contents(unchanged, SCHEMA, columns=COLUMNS, head_only=head_only)
    sparks = landed.map_contents(unchanged, SCHEMA, columns=COLUMNS, head_only=head_only)
    assert (is_direct(ours), is_direct(sparks)) == (True, False)
    found = rows(ours)
    assert len(found) == 2 * BUCKETS * (HEAD_ROWS if head_only else ROWS)
    assert found == rows(sparks)


def test_rows_that_are_deleted_stay_out(direct: Archive) -> None:
    before = rows(direct.map_contents(unchanged, SCHEMA, columns=COLUMNS))
    gone = before[:7]
    ids = ", ".join(f"X'{bytes(oid).hex()}'" for _, oid, _ in gone)
    direct.spark.sql(f"DELETE FROM {full_name('contents')} WHERE oid IN ({ids})")
    after = direct.map_contents(unchanged, SCHEMA, columns=COLUMNS)
    assert not is_direct(after)
    assert rows(after) == before[7:]


def test_of_row_groups_that_hold_both_halves_only_head_is_given(
    direct: Archive, storage: Storage, landed_root: Path
) -> None:
    head = rows(direct.map_contents(unchanged, SCHEMA, columns=COLUMNS, head_only=True))
    mixed = direct.table("contents").where("bucket = 0").toArrow().cast(tables.CONTENTS.arrow_schema)
    mixed = mixed.take(sorted(range(len(mixed)), key=lambda at: at * 7919 % len(mixed)))
    pq.write_table(mixed, landed_root / "mixed.parquet", row_group_size=300)
    unleased(direct.spark).table("contents").append_files([NewFile((landed_root / "mixed.parquet").as_uri(), 0)], {})
    found = rows(direct.map_contents(unchanged, SCHEMA, columns=COLUMNS, head_only=True))
    assert len(found) == len(head) + 2 * HEAD_ROWS

    whole = pa.RecordBatch.from_pylist([{"path": (landed_root / "mixed.parquet").as_uri(), "group": WHOLE_FILE}])
    read = Reader(storage, head_only=True, function=Guard(unchanged, ("oid",)))([whole])
    assert sum(len(batch) for batch in read) == 2 * HEAD_ROWS


def test_a_file_that_is_gone_is_damage(direct: Archive, storage: Storage, landed_root: Path) -> None:
    row = direct.table("contents").limit(1).toArrow().cast(tables.CONTENTS.arrow_schema)
    pq.write_table(row, landed_root / "gone.parquet")
    unleased(direct.spark).table("contents").append_files([NewFile((landed_root / "gone.parquet").as_uri(), 0)], {})
    (landed_root / "gone.parquet").unlink()
    with pytest.raises(StoredFileDamaged, match=r"gone\.parquet"), plain_failures(storage.root_uri):
        direct.map_contents(unchanged, SCHEMA, columns=COLUMNS).collect()
