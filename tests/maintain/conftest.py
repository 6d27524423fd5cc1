"""One Spark for the tests here, and one archive with nights per test."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import SparkSession

from pipeline.model.origin import Origin
from pipeline.night.landed import locate, move
from pipeline.night.seal import seal
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import LOAD_PROPERTY, NewFile
from pipeline.tables.writer import unleased
from tests.support.tables import made_once
from tests.tables.landing import BUCKETS, MadeLoad, Tree


def pytest_configure(config: pytest.Config) -> None:
    # PySpark leaves the sockets of collect() to the garbage collector, which may run in any later test.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
    config.addinivalue_line("filterwarnings", r"ignore:\s*Autoloading range tasks:DeprecationWarning")


ORIGIN = Origin("https://example.org/a")
BUCKET = ORIGIN.network % BUCKETS


def night(day: int, month: int = 11) -> date:
    return date(2026, month, day)


def land(storage: Storage, day: int, origin: Origin = ORIGIN) -> MadeLoad:
    """Land two files, one of them in a folder, a commit and a visit."""
    landing = MadeLoad(storage, night(day), f"run{day}")
    tree: Tree = {b"README": b"day %d\n" % day, b"src": {b"a.py": b"print(%d)\n" % day}}
    landing.push(origin, landing.commit(origin.network, landing.tree(origin.network, tree), message=f"day {day}"))
    return landing


def publish_unchecked(spark: SparkSession, storage: Storage, landing: MadeLoad) -> None:
    """Publish without the audit and ``origins``, and write all markers of a complete night."""
    manifests = landing.write()
    load = landing.load
    for manifest in manifests:
        storage.create(load.manifest(manifest.bucket), manifest.model_dump_json().encode())
    files, findings = locate(storage, load, manifests)
    assert findings == []
    move(storage, files)
    for table in {file.table for file in files}:
        mine = [NewFile(storage.uri(file.final), file.bucket) for file in files if file.table == table]
        unleased(spark).table(table).append_files(mine, {LOAD_PROPERTY: load.name})
    for marker in (load.plan, load.published, load.derived, load.night_summary):
        storage.create(marker, b"{}")
    seal(unleased(spark), load)


@made_once
def add_nights(spark: SparkSession, storage: Storage, *days: int) -> None:
    """Nights of fresh tables."""
    for day in days:
        publish_unchecked(spark, storage, land(storage, day))


def files_in(storage: Storage) -> set[str]:
    """All files except Iceberg's log of table versions, which every commit changes, and checksums of local files."""
    paths = {entry.path for entry in storage.walk() if not entry.path.endswith((".metadata.json", ".crc"))}
    return paths - {path for path in paths if path.endswith("version-hint.text")}
