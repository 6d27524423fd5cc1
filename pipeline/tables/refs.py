"""The refs of origins: ``refs`` holds changes, here they become states."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_STATE = ("night", "target", "peeled", "symref", "symref_raw")


def current_refs(changes: DataFrame) -> DataFrame:
    """The last state of every ref of every origin; refs that are gone are left out.

    Args:
        changes: rows of ``refs`` as read from the Iceberg table. Of two changes on one night the one published later
            counts, which the table's row ids tell.

    Returns:
        The columns of ``refs``, one row for each ref; ``night`` is that of its last change. A symref to a ref that
        does not exist has a symref and no target.
    """
    newest = F.max_by(F.struct(*_STATE), F.struct("night", "_row_id"))
    return (
        changes.groupBy("bucket", "network", "origin", "name", "name_raw")
        .agg(newest.alias("last"))
        .where(F.col("last.target").isNotNull() | F.col("last.symref").isNotNull())
        .select(
            "bucket",
            "network",
            "origin",
            F.col("last.night").alias("night"),
            "name",
            "name_raw",
            *(F.col(f"last.{name}").alias(name) for name in _STATE[1:]),
        )
    )


def exact(name: str) -> Column:
    """The bytes of a text column that may have a ``_raw`` neighbour."""
    return F.coalesce(F.col(f"{name}_raw"), F.encode(F.col(name), "UTF-8"))
