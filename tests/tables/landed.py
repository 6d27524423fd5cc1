"""An archive of two nights as fetch tasks land them, with enough contents for plans and workers to differ."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.fetch.batches import Batches, in_arrow
from pipeline.fetch.landing import Landing
from pipeline.model import tables
from pipeline.model.rows import BlobRow, ContentRow, TreeRow
from pipeline.read.archive import Archive
from pipeline.tables.create import create_tables
from pipeline.tables.iceberg import NewFile
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from pipeline.tables.writer import unleased
from tests.support.spark import COMPILED, QUICK_SPARK
from tests.tables.landing import BUCKETS

ROWS, HEAD_ROWS = 2000, 200


@pytest.fixture(scope="session")
def landed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that archive and its data files lie."""
    return tmp_path_factory.mktemp("landed")


@pytest.fixture(scope="session")
def landed(one_spark: None, landed_root: Path) -> Archive:
    """A tenth of each bucket is at HEAD. Whoever changes it puts it back."""
    session = open_session(SparkSettings(**QUICK_SPARK), landed_root.as_uri(), "tests")
    for name, value in COMPILED.items():
        session.conf.set(name, value)
    create_tables(session, BUCKETS)
    rng = random.Random(7)
    for night in range(2):
        for bucket in range(BUCKETS):
            land(session, landed_root / f"landing-{night}-{bucket}", bucket, rng)
    return Archive(session)


def land(session: SparkSession, folder: Path, bucket: int, rng: random.Random) -> None:
    landing = Landing(folder, run_bytes=4 << 20)
    rows = Batches(in_arrow(landing.append))
    for at in range(ROWS):
        oid, data = rng.randbytes(20), b"line %d\n" % at * rng.randint(1, 800)
        at_head = at % (ROWS // HEAD_ROWS) == 0
        rows.add(tables.CONTENTS, ContentRow(bucket, bucket, oid, len(data), "py", "a.py", at_head, data), len(data))
        rows.add(tables.TREES, TreeRow(bucket, bucket, oid, at_head, data), len(data))
        rows.add(tables.BLOBS, BlobRow(bucket, bucket, oid, b"s" * 32, len(data), "a.py", "py", False, "yes"))
    rows.flush()
    for file in landing.finish():
        unleased(session).table(file.table).append_files([NewFile(file.path.as_uri(), bucket)], {})
