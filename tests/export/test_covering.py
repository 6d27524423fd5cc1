"""Which licence holds for a file, on made folders."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import spark_type
from pipeline.read.archive import Archive
from pipeline.read.export import choose, covering
from pipeline.read.export.choose import in_order
from pipeline.read.export.columns import CHOSEN
from pipeline.read.export.covering import only, with_licences
from pipeline.read.export.run_export import _sharded
from pipeline.read.export.selection import Selection


def test_the_nearest_folder_with_licences_counts(sealed: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "MOST_FOLDERS", 3)
    monkeypatch.setattr(covering, "MOST_CHARACTERS", 30)
    texts = {
        "dual": {"LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache-2.0", "a/b/COPYING": "ISC", "a/bc/COPYING": "Zlib"},
        "below": {"lib/LICENSE": "MIT"},
        "odd": {"x\ny/LICENSE": "MIT"},
        "wide": {f"LICENSE-{id_}": id_ for id_ in ("A" * 15, "B" * 16)},
        "many": {f"{at}/LICENSE": "MIT" for at in range(4)},
    }
    paths = {
        "dual": ["main.c", "a/x.c", "a/b/x.c", "a/b/c/x.c", "a/bc/x.c", "a/b.c"],
        "below": ["main.c", "lib/x.c"],
        "many": ["main.c", "0/x.c"],
        "odd": ["main.c", "x\ny/x.c"],
        "wide": ["main.c"],
        "none": ["main.c"],
    }
    licences = [(0, origin, path, id_) for origin, named in texts.items() for path, id_ in named.items()]
    files = [(0, origin, path) for origin, some in paths.items() for path in some]
    found = with_licences(
        sealed.createDataFrame(files, "bucket INT, origin STRING, path STRING"),
        sealed.createDataFrame(licences, "bucket INT, origin STRING, path STRING, spdx_id STRING"),
        "ids",
    )
    rows = found.select("origin", "path", "ids", only("ids", ("apache-2.0", "isc", "mit")).alias("wanted")).collect()
    both = ["Apache-2.0", "MIT"]
    assert {(row.origin, row.path): (row.ids, row.wanted) for row in rows} == {
        ("dual", "main.c"): (both, True),
        ("dual", "a/x.c"): (both, True),
        ("dual", "a/b/x.c"): (["ISC"], True),
        ("dual", "a/b/c/x.c"): (["ISC"], True),
        ("dual", "a/bc/x.c"): (["Zlib"], False),
        ("dual", "a/b.c"): (both, True),
        ("below", "main.c"): ([], False),
        ("below", "lib/x.c"): (["MIT"], True),
        ("odd", "main.c"): ([], False),
        ("odd", "x\ny/x.c"): (["MIT"], True),
        ("many", "main.c"): (None, None),
        ("many", "0/x.c"): (None, None),
        ("wide", "main.c"): (None, None),
        ("none", "main.c"): ([], False),
    }


def test_folders_with_long_names_take_no_longer(sealed: SparkSession) -> None:
    """With 16,000 characters, a search for the last part from each of them took half a second per file."""
    folder, names = F.repeat(F.lit("d"), F.lit(16_000)), F.array(F.lit("main.c"), F.lit("COPYING"))
    files = sealed.range(2_000).select(
        F.lit(0).alias("bucket"), F.lit(0).cast("long").alias("network"), F.lit(b"\0" * 20).alias("oid"),
        F.lit("url").alias("origin"), folder.alias("folder"), F.explode(names).alias("name"),
    )  # fmt: skip
    files = files.withColumn("path", F.concat_ws("/", "folder", "name")).drop("folder")
    assert choose._licence_files(files, Archive(sealed)).where("endswith(path, 'd/COPYING')").count() == 2_000
    url = f"https://example.org/{'/' * 2_000}x.git//"
    urls = sealed.range(1).select(F.lit(url).alias("origin")).selectExpr(f"{choose._VALUES['repo_name']} AS name")
    assert urls.collect()[0].name == "/" * 2_000 + "x"


def test_long_texts_fill_a_shard_as_contents_do(sealed: SparkSession) -> None:
    columns = ", ".join(f"{field.name} {spark_type(field.type)}" for field in CHOSEN)
    texts = [("/a", ["MIT"]), ("/" + "\xe9" * 10_000, []), ("/c", ["x" * 30_000]), ("/d", None), ("/e", []), ("/f", [])]
    rows = [
        {"bucket": at % 2, "uri": "file", "position": at, "path": path, "length_bytes": 100, "detected_licenses": ids}
        for at, (path, ids) in enumerate(texts)
    ]
    frame = sealed.createDataFrame(rows, f"bucket INT, uri STRING, position LONG, {columns}")
    selection = Selection.model_validate({"max_bytes": 100, "shard_bytes": 20_000})
    sharded = _sharded(in_order(frame, selection.shard_bytes), selection).collect()
    assert {row.path[:2]: row.shard for row in sharded} == {"/a": 0, "/c": 0, "/e": 1, "/\xe9": 1, "/d": 2, "/f": 2}
