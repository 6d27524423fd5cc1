"""Nights with a date that no run can have: an earlier version sealed them, and readers mistake them for the newest."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from pipeline.model.layout import retired_tag, tag_of
from pipeline.model.tables import ALL
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.writer import Writer


def retire_nights(writer: Writer, gone: Collection[date], now: float) -> None:
    """Make nights cease to exist at once, as the retention does; their snapshots are kept as long as any others.

    Args:
        now: seconds since 1970 UTC, for the tags that replace them.
    """
    for table in reversed(ALL):
        iceberg = writer.open(MaintainedTable, table.name)
        tags = iceberg.tags()
        pairs = tuple((tag_of(night), retired_tag(night, int(now))) for night in gone if tag_of(night) in tags)
        if pairs:
            iceberg.rename_tags(pairs)
