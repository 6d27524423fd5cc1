"""What tests of the tables begin with."""

from __future__ import annotations

from datetime import UTC, date, datetime

from pyspark.sql import SparkSession

from pipeline.model.origin import Origin
from pipeline.night.origins import add_origins
from tests.tables.landed import landed, landed_root
from tests.tables.landing import BUCKETS

__all__ = ["landed", "landed_root"]

ADDED = datetime(2026, 11, 1, tzinfo=UTC)


def add(spark: SparkSession, *urls: str | tuple[str, str]) -> list[Origin]:
    """Add origins, each a URL or a pair of URL and fork root."""
    origins = [Origin(url) if isinstance(url, str) else Origin(*url) for url in urls]
    add_origins(spark, origins, BUCKETS, ADDED)
    return origins


def night(day: int) -> date:
    return date(2026, 11, day)
