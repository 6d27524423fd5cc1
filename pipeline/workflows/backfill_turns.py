"""Whose turn it is: a backfill holds the archive batch by batch, and a nightly that waits comes between two of them."""

from __future__ import annotations

from pipeline.run import LOOK_EVERY_S

BACKFILL = "backfill of origins"
"""The purpose of its lease, by which a nightly knows that its turn will come."""

TURN_S = 3 * LOOK_EVERY_S
"""How long a backfill leaves the archive to others between two batches: whoever waits for it looks more often."""


def waits_for_backfill(purpose: str) -> bool:
    """Wait for a backfill of origins, which lets go after each batch, and for nobody else."""
    return purpose == BACKFILL


def waits_for_anybody(purpose: str) -> bool:
    """Wait for every holder."""
    return True
