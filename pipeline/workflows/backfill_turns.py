"""Turns: a backfill holds the archive batch by batch, and a waiting nightly runs between two batches."""

from __future__ import annotations

from pipeline.context.run import LOOK_EVERY_S

BACKFILL = "backfill of origins"
"""The purpose of a backfill's lease, by which a nightly knows that its turn will come."""

TURN_S = 3 * LOOK_EVERY_S
"""How long a backfill leaves the archive to others between two batches: waiting runs look more often."""


def waits_for_backfill(purpose: str) -> bool:
    """Wait only for a backfill of origins, which releases the lease after each batch."""
    return purpose == BACKFILL


def waits_for_anybody(purpose: str) -> bool:
    """Wait for every holder."""
    return True
