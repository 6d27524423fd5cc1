"""SQL functions against this project's own Python, on bytes that anybody may have written."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyspark.sql import Row, SparkSession

from pipeline.model.text import text_of
from pipeline.model.tree import entries_before_damage
from pipeline.night.language import count_lines
from pipeline.read.functions import language, register_functions, tree_entries

PIECES = [
    b"a", b"\n", b"\r\n", b"\0", b"\xc3", b"\xa9", b"\xed", b"\xa0", b"\xf0", b"\x9f", b"\x98", b"\x80", b"\xff",
    b"\xe2", b"\x82", b"\xac", b"\xc0", b"\xf4", b"\x90", b"\xe0", b"\xf5", "é€😀".encode(), b"\xef\xbb\xbf", b"\\0",
]  # fmt: skip
OID = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.fixture(scope="module")
def sql(session: SparkSession) -> Iterator[SparkSession]:
    register_functions(session)
    register_functions(session)  # which is what a second read of the archive does
    yield session
    session.catalog.dropTempView("t")


def one(session: SparkSession, expression: str) -> object:
    (row,) = session.sql(f"SELECT {expression}").collect()
    return row[0]


def entry(mode: bytes, name: bytes, oid: bytes) -> bytes:
    return mode + b" " + name + b"\0" + oid


def test_any_bytes_are_text_and_have_lines(sql: SparkSession) -> None:
    chance = random.Random(3)
    bodies = [b"".join(chance.choices(PIECES, k=chance.randrange(9))) for _ in range(3000)]
    frame = sql.createDataFrame(pa.table({"c": pa.array([*bodies, None], pa.binary())}))
    frame.createOrReplaceTempView("t")
    rows = sql.sql("SELECT c, git_text(c) AS text, line_count(c) AS lines FROM t").collect()
    assert [field.dataType.simpleString() for field in sql.sql("SELECT git_text(c), line_count(c) FROM t").schema] == [
        "string",
        "bigint",
    ]
    *found, nothing = rows
    assert len(found) == len(bodies)
    for row in found:
        assert (row.text, row.lines) == (text_of(bytes(row.c)), count_lines(bytes(row.c))), bytes(row.c)
    assert nothing == Row(c=None, text=None, lines=None)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("blob", "cnt"), ("tree", "dir"), ("commit", "rev"), ("tag", "rel"),
        ("file", "cnt"), ("symlink", "cnt"), ("submodule", "rev"),
    ],
)  # fmt: skip
def test_identifiers_of_software_heritage(sql: SparkSession, kind: str, word: str) -> None:
    assert one(sql, f"swhid('{kind}', unhex('{OID}'))") == f"swh:1:{word}:{OID}"


@pytest.mark.parametrize(
    "call",
    [
        "swhid('nothing', unhex('{oid}'))",
        "swhid('blob', unhex('00'))",
        "swhid('blob', NULL)",
        "swhid(NULL, X'00')",
        "tree_entries(NULL)",
        "language('a.py', NULL)",
        "language(NULL, X'00')",
        "git_text(NULL)",
        "line_count(NULL)",
    ],
)
def test_null_in_null_out_and_what_is_no_identifier(sql: SparkSession, call: str) -> None:
    assert one(sql, call.format(oid=OID)) is None


def test_entries_of_trees(sql: SparkSession) -> None:
    body = entry(b"100644", b"\xff.txt", b"a" * 20) + entry(b"40000", b"dir", b"b" * 20) + b"100644 cut"
    found = one(sql, f"tree_entries(X'{body.hex()}')")
    assert isinstance(found, list)
    assert [(e.mode, bytes(e.name), bytes(e.oid)) for e in found] == list(entries_before_damage(body))
    assert one(sql, "tree_entries(X'')") == []
    assert sql.sql("SELECT tree_entries(X'') AS e").schema["e"].dataType.simpleString() == (
        "array<struct<mode:int,name:binary,oid:binary>>"
    )


def test_modes_fit_their_column() -> None:
    assert tree_entries(entry(b"177777777777", b"n", b"c" * 20)) == [(0x7FFFFFFF, b"n", b"c" * 20)]


def test_languages(sql: SparkSession) -> None:
    assert one(sql, "language('src/a.py', encode('x = 1', 'utf-8'))") == "Python"
    assert language("run", b"#!/bin/sh\n") == "Bash"
    assert language("x.h", b"int f(void);\n") == "C"
    assert language("x.py", b"\0" * 9) is None
    assert language("a/Makefile", b"all:\n") == "Makefile"
    assert language("odd", b"\xff") is None
