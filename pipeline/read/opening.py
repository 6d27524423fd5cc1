"""What ``pipeline.open`` does, with the imports that it takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.context.archive import check_place
from pipeline.context.config import load_config
from pipeline.context.workplace import Workplace
from pipeline.model.errors import UsageError
from pipeline.model.layout import parse_night
from pipeline.model.redact import never_show
from pipeline.read.archive import Archive
from pipeline.storage.factory import open_storage
from pipeline.tables.connect import check_served, connected
from pipeline.tables.iceberg import has_jvm
from pipeline.tables.session import adopt_session


def open_archive(
    location: str | Path | None = None,
    night: date | str | None = None,
    *,
    config: str | Path | None = None,
    spark: SparkSession | str | None = None,
) -> Archive:
    """See ``pipeline.open``, which takes the same."""
    settings = load_config(None if config is None else Path(config))
    settings = settings.at(None if location is None else str(location))
    for secret in settings.secrets:
        never_show(secret)
    place = Workplace(settings, open_storage(settings.archive.location, settings.hdfs))
    place.archive(to_read=True)
    archive = Archive(_opener(place, spark), _date(night), place.storage)
    archive.night()
    return archive


def _opener(place: Workplace, spark: SparkSession | str | None) -> Callable[[], SparkSession]:
    root = place.storage.root_uri

    def opened() -> SparkSession:
        check_place(place.storage)
        if spark is None:
            return place.spark()
        if isinstance(spark, str):
            return connected(spark, root)
        return adopt_session(spark, place.config.spark, root) if has_jvm(spark) else check_served(spark, root)

    return opened


def _date(night: date | str | None) -> date | None:
    if not isinstance(night, str):
        return night
    found = parse_night(night)
    if found is None:
        raise UsageError(f"{night!r} is not a date like 2026-11-24")
    return found
