"""Seal: give a night its name on every table, and find the nights that have one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from pyspark.sql import SparkSession

from pipeline.model.layout import Load, tag_of
from pipeline.model.tables import ALL, ORIGINS
from pipeline.tables.iceberg import IcebergTable

_TAG_PREFIX = "night-"


def seal(spark: SparkSession, load: Load, check_lease: Callable[[], None]) -> None:
    """Tag the current state of every table as the load's night, ``origins`` last; tags that are there stay.

    A night exists once ``origins`` has its tag, so readers see it complete or not at all.
    """
    tag = tag_of(load.night)
    for table in ALL:
        iceberg = IcebergTable(spark, table.name)
        if tag not in iceberg.tags():
            check_lease()
            iceberg.create_tag(tag)


def nights(spark: SparkSession) -> list[date]:
    """The sealed nights, oldest first."""
    tags = IcebergTable(spark, ORIGINS.name).tags()
    return sorted(date.fromisoformat(tag.removeprefix(_TAG_PREFIX)) for tag in tags if tag.startswith(_TAG_PREFIX))
