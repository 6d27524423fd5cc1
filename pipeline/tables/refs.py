"""The refs of origins: turns the changes in ``refs`` into states."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_STATE = ("night", "target", "peeled", "symref", "symref_raw")
PUBLISHED = "_row_id"
"""Iceberg's row number, the order of publishing: it grows with every commit and survives rewrites of files."""


def last_changes(changes: DataFrame) -> DataFrame:
    """The last change of every ref that an origin ever had: the one published last, whatever its night.

    Args:
        changes: rows of ``refs`` as read from the Iceberg table, whose row ids give the order of publishing.

    Returns:
        The columns of ``refs`` and ``published``, which grows with the order of publishing; a deleted ref has neither
        target nor symref.
    """
    newest = F.max_by(F.struct(*_STATE), PUBLISHED)
    return (
        changes.groupBy("bucket", "network", "origin", "name", "name_raw")
        .agg(newest.alias("last"), F.max(PUBLISHED).alias("published"))
        .select(
            "bucket",
            "network",
            "origin",
            F.col("last.night").alias("night"),
            "name",
            "name_raw",
            *(F.col(f"last.{name}").alias(name) for name in _STATE[1:]),
            "published",
        )
    )


def current_refs(changes: DataFrame) -> DataFrame:
    """``last_changes`` without deleted refs. A symref to a ref that does not exist has no target."""
    return last_changes(changes).where(is_there()).drop("published")


def is_there() -> Column:
    """Whether a row of ``last_changes`` is a ref that the origin still has."""
    return F.col("target").isNotNull() | F.col("symref").isNotNull()


def exact(name: str) -> Column:
    """The bytes of a text column that may have a ``_raw`` neighbour."""
    return F.coalesce(F.col(f"{name}_raw"), F.encode(F.col(name), "UTF-8"))
