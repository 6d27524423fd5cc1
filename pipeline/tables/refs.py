"""The refs of origins: ``refs`` holds changes, here they become states."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_STATE = ("night", "target", "peeled", "symref", "symref_raw")
PUBLISHED = "_row_id"
"""Iceberg's number of a row: it grows with every commit and stays when files are rewritten, the order of publishing."""


def last_changes(changes: DataFrame) -> DataFrame:
    """The last change of every ref that an origin ever had: the one published last, whatever night it is dated.

    Args:
        changes: rows of ``refs`` as read from the Iceberg table, whose row ids tell the order of publishing.

    Returns:
        The columns of ``refs`` and ``published``, which is greater for what was published later; a ref that is gone has
        neither target nor symref.
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
    """``last_changes`` without the refs that are gone. A symref to a ref that does not exist has no target."""
    return last_changes(changes).where(is_there()).drop("published")


def is_there() -> Column:
    """Whether a row of ``last_changes`` is a ref that the origin has."""
    return F.col("target").isNotNull() | F.col("symref").isNotNull()


def exact(name: str) -> Column:
    """The bytes of a text column that may have a ``_raw`` neighbour."""
    return F.coalesce(F.col(f"{name}_raw"), F.encode(F.col(name), "UTF-8"))
