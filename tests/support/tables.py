"""The tables that tests of Spark steps without a command share: one archive per process, fresh for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import WAREHOUSE
from pipeline.read.names import NAMES
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.create import create_tables
from pipeline.tables.session import open_session
from pipeline.tables.settings import SparkSettings
from tests.support.spark import QUICK_SPARK, forget_catalog
from tests.tables.landing import BUCKETS

Made = TypeVar("Made")
P = ParamSpec("P")
Fill = Callable[Concatenate[SparkSession, Storage, P], Made]


def made_once(make: Fill[P, Made]) -> Fill[P, Made]:
    """Let what fills a test's fresh tables do so once per process and arguments; later tests get copies of its files.

    The files are true at their place alone, which all tests of a process share.
    """
    kept: dict[str, Made] = {}

    def made(spark: SparkSession, storage: Storage, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        root = Path(urlsplit(storage.root_uri).path)
        name = "-".join(map(str, (root.name, make.__name__, *args, *kwargs.values())))
        if name in kept:
            shutil.rmtree(root)
            shutil.copytree(root.with_name(name), root)
            forget_catalog(spark)
        else:
            kept[name] = make(spark, storage, *args, **kwargs)
            shutil.copytree(root, root.with_name(name))
        return kept[name]

    return made


@pytest.fixture(scope="session")
def spark_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="session")
def session(spark_root: Path, one_spark: None) -> SparkSession:
    """The archive's session. It may have no tables."""
    return open_session(SparkSettings(**QUICK_SPARK), spark_root.as_uri(), "tests")


@pytest.fixture
def storage(spark_root: Path) -> Storage:
    return LocalStorage(spark_root)


@pytest.fixture(scope="session")
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
    for name in NAMES:
        session.catalog.dropTempView(name)
    storage = LocalStorage(spark_root)
    for entry in storage.list():
        storage.delete(entry.path, recursive=True)
