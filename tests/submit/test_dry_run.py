"""Which tables a job could read, according to its code."""

from __future__ import annotations

import pytest

from pipeline.model.tables import ALL
from pipeline.read.submit.dry_run import tables_named
from pipeline.read.submit.find_job import job_source

EVERY = {table.name for table in ALL}


@pytest.mark.parametrize(
    ("code", "tables"),
    [
        ('archive.table("files").join(archive.table("blobs", night), "oid")', {"files", "blobs"}),
        ("spark.sql('select f.path FROM files f join head_blobs h on f.oid = h.oid')", {"files", "head_blobs"}),
        ("archive.refs()", {"refs"}),
        ("archive.commit_files(networks=[5])", {"commit_files"}),
        ("spark.sql('SELECT 1 FROM commit_files JOIN tags')", {"commit_files", "tags"}),
        (job_source("commit_activity"), {"commits"}),
        (job_source("dependencies"), {"files", "contents"}),
        (job_source("near_duplicates"), {"contents"}),
        (job_source("secrets"), {"contents"}),
        ("archive.objects(1, 2)", {"commits", "trees", "tags", "contents"}),
        ('archive.table("files").withColumnRenamed("x", "commits")', {"files"}),
        ('archive.table("files"); archive.table(name)', EVERY),
        ('archive.table("packs")', EVERY),
        ("read(archive)", EVERY),
    ],
)
def test_tables_are_found_in_code(code: str, tables: set[str]) -> None:
    assert tables_named(code) == tables
