"""Spark for tests: most of the cost of a small night is compilation, by Java and by Spark."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.tables import session
from pipeline.tables.settings import SparkSettings

CLASSES = Path(sys.prefix) / "spark-classes.jsa"
"""Spark's classes as Java reads them fastest, which halves what its start costs; see ``tests.support.classes``."""

COMPILE = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
"""With one tier the code cache is 48 MB, which a few nights fill; from then on Java only interprets."""

JAVA_OPTIONS = f'{COMPILE} -Xlog:disable "-XX:SharedArchiveFile={CLASSES}"'
"""Without a word where the classes are missing, or were made for another Java."""

QUICK_SPARK: dict[str, Any] = {"master": "local[2]", "driver_memory": "2g", "java_options": JAVA_OPTIONS}
"""The ``spark`` section of a configuration."""

UNCOMPILED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",  # every stage of an adaptive query is a job of its own, planned anew
    "spark.sql.ui.explainMode": "simple",
}
"""``spark.conf`` for nights of a few rows: takes less than half of their time."""

COMPILED = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
}
"""As users have it: for a test of Derive, whose queries are the longest, and for tests of plans."""

LISTENERS_WITHIN_MS = 60_000


@pytest.fixture(scope="session")
def one_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Spark of all tests of this process: to start one and warm it up costs more than most of them.

    Commands in this process use it, each archive with its own session; of their settings Spark's are not looked at.
    """
    settings = SparkSettings(**QUICK_SPARK, conf=UNCOMPILED)
    spark = session.open_session(settings, tmp_path_factory.mktemp("no-archive").as_uri(), "tests")
    yield
    spark.stop()


def forget_tables(spark: SparkSession) -> None:
    """Use a new session for the archive from here on; its catalog remembers no table and no cached frame.

    For tests that restore an archive's files: a catalog that has seen newer versions would continue from those.
    """
    spark.catalog.clearCache()
    warehouse = str(spark.conf.get(session.WAREHOUSE_SETTING))
    session._SESSIONS[warehouse] = spark.newSession()
    session._SESSIONS[warehouse].conf.set(session.WAREHOUSE_SETTING, warehouse)


def until_listeners_are_done(spark: SparkSession) -> None:
    """Wait until Spark's listeners have seen all events so far; a thread of their own calls them."""
    spark._jsparkSession.sparkContext().listenerBus().waitUntilEmpty(LISTENERS_WITHIN_MS)


def forget_catalog(spark: SparkSession) -> None:
    """Let the same session know of no table, nor any cached frame."""
    spark.catalog.clearCache()
    spark._jsparkSession.sessionState().catalogManager().reset()
