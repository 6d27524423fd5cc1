"""Seal: give a night its name on every table, and find the nights that have one."""

from __future__ import annotations

from datetime import date

from pyspark.sql import SparkSession

from pipeline.model.layout import Load, night_of, tag_of
from pipeline.model.tables import ALL, ORIGINS
from pipeline.tables.iceberg import IcebergTable
from pipeline.tables.writer import Writer


def seal(writer: Writer, load: Load) -> None:
    """Tag the current state of every table as the load's night, ``origins`` last; existing tags stay.

    A night exists once ``origins`` has its tag, so readers see it complete or not at all. Commits of others between
    two tags do no harm: a row that is added to ``origins`` has no visit yet, and a paused run that still publishes the
    load finds that every table has it (``publish``) or is refused (``derive``).
    """
    tag = tag_of(load.night)
    for table in ALL:
        iceberg = writer.table(table.name)
        if tag not in iceberg.tags():
            iceberg.create_tag(tag)


def nights(spark: SparkSession) -> list[date]:
    """Sealed nights, oldest first."""
    tags = IcebergTable(spark, ORIGINS.name).tags()
    return sorted(night for night in map(night_of, tags) if night is not None)
