"""One Spark for all tests here, and one archive per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE
from pipeline.model.origin import Origin
from pipeline.model.tables import ALL
from pipeline.night.origins import add_origins
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.create import create_tables
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.spark import QUICK_SPARK, forget_catalog, own_spark
from tests.tables.landing import BUCKETS

ADDED = datetime(2026, 11, 1, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="package")
def spark_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="package")
def session(spark_root: Path) -> Iterator[SparkSession]:
    settings = SparkSettings(**QUICK_SPARK)
    with own_spark():
        yield open_session(settings, spark_root.as_uri(), "tests")


@pytest.fixture
def storage(spark_root: Path) -> Storage:
    return LocalStorage(spark_root)


@pytest.fixture(scope="package")
def empty(session: SparkSession, spark_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of fresh and empty tables, which are true at their place alone."""
    create_tables(session, BUCKETS)
    return Path(shutil.move(spark_root / WAREHOUSE, tmp_path_factory.mktemp("empty")))


@pytest.fixture
def spark(session: SparkSession, spark_root: Path, empty: Path) -> Iterator[SparkSession]:
    """The session, with fresh and empty tables."""
    shutil.rmtree(spark_root / WAREHOUSE, ignore_errors=True)  # of a test that failed
    shutil.copytree(empty, spark_root / WAREHOUSE)
    yield session
    forget_catalog(session)
    for table in ALL:
        session.catalog.dropTempView(table.name)
    for entry in LocalStorage(spark_root).list():
        LocalStorage(spark_root).delete(entry.path, recursive=True)


def add(spark: SparkSession, *urls: str | tuple[str, str]) -> list[Origin]:
    """Add origins, each a URL or a pair of URL and fork root."""
    origins = [Origin(url) if isinstance(url, str) else Origin(*url) for url in urls]
    add_origins(spark, origins, BUCKETS, ADDED)
    return origins


def night(day: int) -> date:
    return date(2026, 11, day)
