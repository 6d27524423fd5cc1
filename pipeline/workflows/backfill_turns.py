"""Turns: backfills and merges of listings hold the archive part by part, and a waiting nightly runs in between."""

from __future__ import annotations

from pipeline.context.run import LOOK_EVERY_S

BACKFILL = "backfill of origins"
"""The purpose of a backfill's lease, by which a nightly knows that its turn will come."""

MERGE = "merge of listings"
"""The same of the merge of what a forge has listed."""

TURN_S = 3 * LOOK_EVERY_S
"""How long a backfill leaves the archive to others between two batches: waiting runs look more often."""


def waits_for_turn(purpose: str) -> bool:
    """Wait only for those who release the lease after each part."""
    return purpose in (BACKFILL, MERGE)


def waits_for_anybody(purpose: str) -> bool:
    """Wait for every holder."""
    return True
