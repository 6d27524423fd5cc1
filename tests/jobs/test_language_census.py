"""The census on small frames."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.language_census import census, main
from pipeline.model.errors import UsageError
from pipeline.read.archive import Archive

BLOBS = "bucket int, network bigint, oid binary, size bigint, language string"
FILES = "bucket int, network bigint, origin string, oid binary"


def test_each_content_counts_once_and_each_origin_once_a_language(session: SparkSession) -> None:
    blobs = session.createDataFrame(
        [
            (1, 1, b"a", 10, "C"),
            (1, 1, b"b", 5, "C"),
            (2, 2, b"a", 10, "C"),
            (2, 2, b"p", 7, "Python"),
            (2, 2, b"x", 3, None),
        ],
        BLOBS,
    )
    files = session.createDataFrame(
        [
            (1, 1, "o1", b"a"),
            (1, 1, "o1", b"b"),
            (1, 1, "fork", b"a"),
            (2, 2, "o2", b"a"),
            (2, 2, "o2", b"p"),
            (2, 2, "o2", b"x"),
        ],
        FILES,
    )
    result = census(blobs, files)
    assert [tuple(row) for row in result.collect()] == [("C", 2, 15, 3), ("Python", 1, 7, 1), (None, 1, 3, 1)]
    assert [(f.name, f.dataType.simpleString()) for f in result.schema] == [
        ("language", "string"),
        ("files", "bigint"),
        ("bytes", "bigint"),
        ("repositories", "bigint"),
    ]


def test_it_takes_no_arguments(session: SparkSession) -> None:
    with pytest.raises(UsageError, match="--fast"):
        main(Archive(session), ["--fast"])
