"""Which columns a query may need: never too few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from pipeline.model.errors import UsageError
from pipeline.model.tables import BY_NAME
from pipeline.read.duckdb_query import columns_read, query
from pipeline.storage.errors import StoredFileDamaged

ALL = {name: list(table.column_names) for name, table in BY_NAME.items()}


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT author_name, count(*) FROM commits GROUP BY 1", {"commits": ["author_name"]}),
        ("SELECT OID FROM TREES WHERE content IS NOT NULL", {"trees": ["oid", "content"]}),
        ("SELECT count(*) FROM blobs", {"blobs": ["bucket"]}),
        ("WITH x AS (SELECT oid FROM commits) SELECT 1 FROM x JOIN tags t ON t.target = x.oid",
         {"commits": ["oid"], "tags": ["oid", "target"]}),
        ("SELECT unnest(parents) FROM commits", {"commits": ["parents"]}),
        ("SELECT 1", {}),
        ("SELECT * FROM refs", {"refs": ALL["refs"]}),
        ("FROM refs", {"refs": ALL["refs"]}),
        ("SELECT r.* EXCLUDE (oid) FROM refs r", {"refs": ALL["refs"]}),
        ("SELECT r FROM refs r", {"refs": ALL["refs"]}),
        ("SELECT count(refs) FROM refs", {"refs": ALL["refs"]}),
        ("SELECT COLUMNS('n.*') FROM refs", {"refs": ALL["refs"]}),
        ("SELECT #2, target FROM refs", {"refs": ALL["refs"]}),
        ("SELECT r.night FROM refs AS r(bucket, network, night)", {"refs": ALL["refs"]}),
        ("SELECT 1 FROM refs NATURAL JOIN tags", {"refs": ALL["refs"], "tags": ALL["tags"]}),
        ("PIVOT refs ON name USING count(*)", {"refs": ALL["refs"]}),
        ("SUMMARIZE refs", {"refs": ALL["refs"]}),
    ],
)  # fmt: skip
def test_columns(query: str, columns: dict[str, list[str]]) -> None:
    assert columns_read(query) == columns


@pytest.mark.parametrize(
    ("query", "says"),
    [("SELECT 1; SELECT 2", "one query, not 2"), (" ", "one query, not 0"), ("SELEC 1", "cannot be read"),
     ("SELECT 'a", "cannot be read")],
)  # fmt: skip
def test_what_is_no_query(query: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        columns_read(query)


def test_a_damaged_file_is_no_fault_of_the_query() -> None:
    def load(table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array([1], pa.int32())], names=list(columns))
        raise StoredFileDamaged("tables/x", "the file is gone")

    with pytest.raises(StoredFileDamaged, match="tables/x"):
        query("SELECT count(*) FROM blobs", load)
