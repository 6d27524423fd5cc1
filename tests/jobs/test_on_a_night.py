"""All jobs on one small archive, as `pipeline submit` runs them but for storing their results."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.licences import count
from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.read.archive import Archive
from pipeline.read.authors import authors
from pipeline.read.names import with_parts
from pipeline.read.submit.find_job import find_job
from pipeline.read.submit.run_job import tables_in
from pipeline.read.vendored import vendored
from pipeline.rules.vendored import LONGEST_PATH, is_vendored
from pipeline.storage.interface import Storage
from pipeline.tables.writer import unleased
from tests.jobs.test_secrets import MADE_UP
from tests.night.test_licence import APACHE
from tests.support.near_texts import families
from tests.tables.conftest import add, night
from tests.tables.landing import MadeLoad, Tree

ONE, OTHER = "https://example.org/a", "https://example.org/b"


@pytest.mark.slow
def test_each_job_on_a_night(spark: SparkSession, storage: Storage) -> None:
    load = MadeLoad(storage, night(2))
    text = families()[b"0-00"]
    for origin in add(spark, ONE, OTHER):
        before = load.tree(origin.network, {b"key.txt": MADE_UP["npm token"]}, at_head=False)
        first = load.commit(origin.network, before)
        tree: Tree = {
            b"package.json": b'{"dependencies": {"a": "1"}}',
            b"a.txt": text,
            b"sub": {b"b.txt": text + b" more", b"COPYING": APACHE},
            b"LICENSE": APACHE,
            b"main.py": b"print()\n",
            b".mailmap": b"Jo <jo@example.org> <a@b>\n",
        }
        load.push(origin, load.commit(origin.network, load.tree(origin.network, tree), first, message=origin.url))
    publish(unleased(spark), storage, load.load, load.write(), load.run_id)
    derive(unleased(spark), storage, load.load)
    archive = Archive(spark, None, storage)
    archive.register_views()

    files = archive.table("files")
    again = files.where("path = '.mailmap'").withColumn("oid", F.lit(b"\xff" * 20))
    refs, commits, contents = (archive.table(name) for name in ("refs", "commits", "contents"))
    twice = authors(refs, commits, files.unionByName(again), contents).collect()
    assert sorted(twice) == sorted(archive.table("authors").collect()), "a tree may name an entry twice"
    assert {(row.origin, row.name, row.commits) for row in twice} == {(ONE, "Jo", 2), (OTHER, "Jo", 2)}

    repositories, blobs = archive.table("repositories"), archive.table("head_blobs")
    none = archive.table("licences").where("false")
    assert [row.repositories for row in count(none, repositories, blobs).collect()] == [2]
    unknown = blobs.withColumn("is_generated", F.lit(None).cast("boolean"))
    assert [row.repositories for row in count(none, repositories, unknown).collect()] == [0]

    def run(job: str, *words: str) -> list[tuple[Any, ...]]:
        found = find_job(job)
        frame = found.main(archive, words)
        assert isinstance(frame, DataFrame)
        assert found.reads is not None
        assert tables_in(frame) <= with_parts(found.reads)
        return [tuple(row) for row in frame.collect()]

    assert run("licences") == [("Apache-2.0", 2, 2, 4), (None, 0, None, None)]
    assert run("truck_factor") == [(url, 1, 1, 1, ["jo@example.org"]) for url in (ONE, OTHER)]
    assert run("truck_factor", "--origin", ONE) == [(ONE, 1, 1, 1, ["jo@example.org"])]
    assert run("commit_activity") == [(date(2023, 11, 13), 120, 3, 1)]
    assert run("dependencies") == [(url, "package.json", "npm", "a", "1", "runtime", None) for url in (ONE, OTHER)]
    (pair,) = run("near_duplicates")
    assert {pair[1], pair[3]} == {"a.txt", "b.txt"}
    assert 0.97 < pair[4] <= 1
    assert run("secrets", "--head-only") == []
    assert (
        sorted(row[2:] for row in run("secrets")) == [("key.txt", False, 1, "npm token", "npm_… (40 characters)")] * 2
    )


def test_a_path_is_vendored_as_in_sql(spark: SparkSession) -> None:
    paths = ["vendor/a.c", "a.c", "", "vendor/" + "a" * LONGEST_PATH, "a" * LONGEST_PATH + "/vendor/a.c"]
    rows = spark.createDataFrame([(path,) for path in paths], "path string")
    found = {row.path: row.found for row in rows.select("path", vendored("path").alias("found")).collect()}
    assert found == {path: is_vendored(path) for path in paths}
