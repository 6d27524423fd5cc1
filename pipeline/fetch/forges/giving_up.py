"""Passes that nobody goes on with: how they are given up, and when one that is stuck gives itself up."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

from pydantic import BaseModel, ConfigDict

from pipeline.fetch.forges.leftovers import delete_pages
from pipeline.fetch.forges.passes import places, read_pass
from pipeline.model.layout import ForgePass
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage


def give_up(storage: Storage, forge: str) -> bool:
    """Go on with no pass that is unfinished, nor with one that cannot be read. What is merged stays.

    Returns:
        Whether one of them was a full one, or does not say what it was.
    """
    todo = []
    for place in places(storage, forge):
        with suppress(StoredFileDamaged):
            found = read_pass(storage, place)
            if found is not None and found.given_up:
                delete_pages(storage, place)  # if a kill left some
            if found is None or found.finished:
                continue
        todo.append(place)
    for place in reversed(todo):  # so that after a kill none is unfinished that has a finished one after it
        storage.replace(place.given_up, b"{}")
        delete_pages(storage, place)
    return any(found.full for place in todo if (found := read_pass(storage, place)) is not None)


STUCK_DAYS = 7
"""Days on which crawls failed in a row at the same place, after which the next one gives the pass up."""


class Stuck(BaseModel):
    """The days on which a crawl failed with so many pages listed and slices merged; -1 if that cannot be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pages: int
    merged: int
    days: tuple[date, ...]


def note_stuck(storage: Storage, forge: str, today: date) -> None:
    """Note that a crawl failed. If something was listed or merged since the last failure, the count begins anew."""
    for place in places(storage, forge)[:1]:
        known = _stuck(storage, place)
        now = known.model_copy(update={"days": tuple(sorted({*known.days, today}))})
        storage.replace(place.stuck, now.model_dump_json().encode())


def forget_stuck(storage: Storage, forge: str) -> None:
    """Begin the count anew: a crawl failed for a reason that another pass would meet as well."""
    for place in places(storage, forge)[:1]:
        storage.delete(place.stuck)


def is_stuck(storage: Storage, forge: str) -> bool:
    """Whether crawls failed so often at the same place that the newest pass shall be given up."""
    return any(len(_stuck(storage, place).days) >= STUCK_DAYS for place in places(storage, forge)[:1])


def _stuck(storage: Storage, place: ForgePass) -> Stuck:
    """Where a pass stands, and the days on which crawls failed there."""
    pages = merged = -1
    with suppress(StoredFileDamaged):
        found = read_pass(storage, place)
        if found is not None:
            pages, merged = found.progress.pages, found.merged
    with suppress(FileMissing, StoredFileDamaged):
        known = read_document(storage, place.stuck, Stuck.model_validate_json)
        if (known.pages, known.merged) == (pages, merged):
            return known
    return Stuck(pages=pages, merged=merged, days=())
