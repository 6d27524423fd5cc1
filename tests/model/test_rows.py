"""Rows and their records name the columns of their tables, and one codec reads them back."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.commit import Commit
from pipeline.model.errors import CheckFailed
from pipeline.model.rows import CODECS, BlobRow, ContentRow, Row, TreeRow, blob_names, commit_row, is_binary, tag_row
from pipeline.model.tables import BLOBS, COMMITS, CONTENTS, OID, OIDS, TAGS, TIME, TREES, Table
from pipeline.model.tag import Tag
from pipeline.model.text import text_and_raw
from tests.model.strategies import HOSTILE

PLACE = (0, 1, b"i" * 20)
PERSON = b"A <a@b> 1700000000 +0100"
COMMIT = b"tree %s\nparent %s\nauthor %s\ncommitter %s\nmergetag x\n y\n\nm" % (b"a" * 40, b"b" * 40, PERSON, PERSON)
TAG = b"object %s\ntype commit\ntag v1\ntagger %s\n\nm" % (b"a" * 40, PERSON)


def cells_of_arrow(table: Table, row: Row) -> dict[str, Any]:
    return pa.Table.from_pylist([dict(zip(table.column_names, row, strict=True))], table.arrow_schema).to_pylist()[0]


def cells_of_spark(table: Table, row: Row) -> dict[str, Any]:
    """The row as Spark returns it: byte arrays instead of bytes, and times in seconds."""
    cells = cells_of_arrow(table, row)
    for column in table.columns:
        value = cells[column.name]
        if value is not None and column.type == OID:
            cells[column.name] = bytearray(value)
        elif value is not None and column.type == OIDS:
            cells[column.name] = list(map(bytearray, value))
        elif value is not None and column.type == TIME:
            cells[column.name] = int(value.timestamp())
    return cells


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (TreeRow._fields, TREES),
        (BlobRow._fields, BLOBS),
        (ContentRow._fields, CONTENTS),
        (("bucket", "network", "oid", *Commit._fields), COMMITS),
        (("bucket", "network", "oid", *Tag._fields), TAGS),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_rows_have_the_columns_of_their_tables(names: tuple[str, ...], table: Table) -> None:
    assert names == table.column_names


@pytest.mark.parametrize("cells_of", [cells_of_arrow, cells_of_spark])
@given(body=HOSTILE)
def test_any_reader_of_rows_gets_the_exact_bytes(cells_of: Any, body: bytes) -> None:
    rows = (
        (COMMITS, commit_row(*PLACE, body)),
        (COMMITS, commit_row(*PLACE, COMMIT + body)),
        (TAGS, tag_row(*PLACE, body)),
        (TAGS, tag_row(*PLACE, TAG + body)),
        (TREES, TreeRow(*PLACE, True, body)),
        (CONTENTS, ContentRow(*PLACE, len(body), "", "", False, body)),
    )
    expected = [body, COMMIT + body, body, TAG + body, body, body]
    assert [CODECS[table.name].body(cells_of(table, row)) for table, row in rows] == expected


@pytest.mark.parametrize("table", [COMMITS, TAGS, TREES, CONTENTS], ids=lambda table: table.name)
def test_a_row_of_nothing_makes_no_object(table: Table) -> None:
    with pytest.raises(CheckFailed):
        CODECS[table.name].body(dict.fromkeys(table.column_names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ("", "")),
        (b"", ("", "")),
        (b"main.PY", ("main.PY", "py")),
        (b".gitignore", (".gitignore", "")),
        (b"caf\xe9.txt", ("caf\ufffd.txt", "txt")),
        (b"archive.tar.gz", ("archive.tar.gz", "gz")),
    ],
)
def test_names_of_blobs(name: bytes | None, expected: tuple[str, str]) -> None:
    assert blob_names(name) == expected


def test_binary_by_gits_own_rule() -> None:
    assert is_binary(b"x" * 7999 + b"\0")
    assert not is_binary(b"x" * 8000 + b"\0")
    assert not is_binary(b"")


@given(name=st.binary(max_size=30))
def test_a_name_and_its_bytes(name: bytes) -> None:
    text, raw = text_and_raw(name)
    assert (text.encode() if raw is None else raw) == name
    assert text.isascii() or text.encode()
