"""What passes leave that nobody needs any more: pages that are merged or given up, and folders of old passes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from pipeline.fetch.forges.passes import is_complete, passes, places
from pipeline.fetch.forges.settings import EVENTS
from pipeline.model.layout import ForgePass
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

KEPT_FULL = 2
"""Complete full passes that are kept, and all after them: what neither of two showed is gone."""

KEPT_OF_EVENTS = 24
"""Finished passes over events that are kept; the next one goes by the newest."""

MOST_FORGOTTEN = 100
"""Old passes that are deleted at once."""


def delete_merged(storage: Storage, forge: str) -> None:
    """Delete pages that are merged or given up, which a kill left, or a second crawl; of the last two passes."""
    for found in islice(passes(storage, forge), 2):
        merged = {found.place.pages(part) for part in range(1, found.merged + 1)}
        delete_pages(storage, found.place, None if found.given_up else merged.__contains__)


def delete_pages(storage: Storage, place: ForgePass, wanted: Callable[[str], bool] | None = None) -> None:
    """Delete pages of a pass, those in the folders that are wanted; None for all."""
    for entry in storage.list(place.root):
        if entry.is_dir and (wanted is None or wanted(entry.path)):
            storage.delete(entry.path, recursive=True)


def forget_old(storage: Storage, forge: str, kind: str) -> None:
    """Delete passes that no later one goes by, the oldest first, ``MOST_FORGOTTEN`` at most."""
    is_of_events = kind == EVENTS
    kept = KEPT_OF_EVENTS if is_of_events else KEPT_FULL
    with suppress(StoredFileDamaged):  # until that pass is given up
        ends = (
            each.place.number
            for each in passes(storage, forge)
            if each.finished and not each.given_up and (is_of_events or (each.full and is_complete(each)))
        )
        for first_kept in islice(ends, kept - 1, kept):
            old = [place for place in reversed(places(storage, forge)) if place.number < first_kept]
            for place in old[:MOST_FORGOTTEN]:
                storage.delete(place.root, recursive=True)
