"""Which licence holds for a file, on made folders."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.read.archive import Archive
from pipeline.read.export import choose, covering
from pipeline.read.export.covering import only, with_licences


def test_the_nearest_folder_with_licences_counts(sealed: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "MOST_FOLDERS", 3)
    texts = {
        "dual": {"LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache-2.0", "a/b/COPYING": "ISC", "a/bc/COPYING": "Zlib"},
        "below": {"lib/LICENSE": "MIT"},
        "odd": {"x\ny/LICENSE": "MIT"},
        "many": {f"{at}/LICENSE": "MIT" for at in range(4)},
    }
    paths = {
        "dual": ["main.c", "a/x.c", "a/b/x.c", "a/b/c/x.c", "a/bc/x.c", "a/b.c"],
        "below": ["main.c", "lib/x.c"],
        "many": ["main.c", "0/x.c"],
        "odd": ["main.c", "x\ny/x.c"],
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
