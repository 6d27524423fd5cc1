"""Passes over a forge's listing, as the storage has them: which is under way, and what the next one is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, takewhile

from pydantic import BaseModel, ConfigDict

from pipeline.fetch.forges.cursor import Cursor
from pipeline.fetch.forges.hours import hours_to_ask
from pipeline.fetch.forges.pages import Progress, last_progress
from pipeline.fetch.forges.settings import EVENTS, ForgeSettings
from pipeline.model.layout import FORGES, ForgePass
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage


class Begun(BaseModel):
    """What a pass is. ``since``: None for a full one, else it looks for what is new or changed after this time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    url: str
    since: datetime | None
    first: Cursor
    begun_at: datetime


UNKNOWN = Begun(kind="", url="", since=None, first=Cursor(), begun_at=datetime(1970, 1, 1, tzinfo=UTC))
"""Of a pass that is given up, and does not say any more what it was: a full one, for all that is known."""


class SliceManifest(BaseModel):
    """A slice that is listed: its pages, from ``first``, and the progress after the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    progress: Progress
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass.

    Attributes:
        slices: those that are listed; ``merged``: how many of them are merged.
        progress: after the last page that is written.
        over: whether it is listed to its end, and the manifest of its last slice says so.
        given_up: nobody goes on with it; what it has listed and not merged is lost, and the next pass lists it again.
            Then what cannot be read of it is left out: it may be why.
    """

    place: ForgePass
    begun: Begun
    slices: int
    merged: int
    progress: Progress
    over: bool
    given_up: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing more is done for it."""
        return self.given_up or (self.over and self.merged == self.slices)

    @property
    def full(self) -> bool:
        """Whether it listed, or lists, everything."""
        return self.begun.since is None

    def is_of(self, settings: ForgeSettings) -> bool:
        """Whether it is one over this forge, and not over another one that had its name."""
        return self.begun == UNKNOWN or (self.begun.kind, self.begun.url) == (settings.kind, settings.url)


def passes(storage: Storage, forge: str) -> Iterator[Pass]:
    """The passes over a forge, the newest first; those whose first file is missing never began."""
    for place in places(storage, forge):
        found = read_pass(storage, place)
        if found is not None:
            yield found


def places(storage: Storage, forge: str) -> list[ForgePass]:
    """Where the passes are, the newest first."""
    names = (_name(entry.path) for entry in storage.list(f"{FORGES}/{forge}"))
    return [
        ForgePass(forge, number) for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True)
    ]


def read_pass(storage: Storage, place: ForgePass) -> Pass | None:
    """A pass, None if it never began.

    Raises:
        StoredFileDamaged: one of its files cannot be read, and it is not given up.
    """
    names = {_name(entry.path) for entry in storage.list(place.root)}
    given_up = _name(place.given_up) in names
    begun = UNKNOWN
    try:
        with _perhaps_damaged(given_up):
            begun = read_document(storage, place.begun, Begun.model_validate_json)
    except FileMissing:
        return None
    slices = merged = 0
    while _name(place.manifest(slices + 1)) in names:
        slices += 1
    while _name(place.merged(merged + 1)) in names:
        merged += 1
    progress = Progress(next=begun.first)
    if slices:
        with _perhaps_damaged(given_up):
            progress = read_manifest(storage, place, slices).progress
    over = progress.next is None
    if not over and not given_up:
        progress = last_progress(storage, place, slices + 1) or progress
    return Pass(place, begun, slices, merged, progress, over, given_up)


def _perhaps_damaged(given_up: bool) -> AbstractContextManager[None]:
    return suppress(StoredFileDamaged) if given_up else nullcontext()


def read_manifest(storage: Storage, place: ForgePass, slice_: int) -> SliceManifest:
    """The manifest of a slice that is listed."""
    return read_document(storage, place.manifest(slice_), SliceManifest.model_validate_json)


def unfinished(storage: Storage, forge: str) -> list[Pass]:
    """The passes that are not listed to their end or not merged, the oldest first: those before them are both."""
    return list(takewhile(lambda found: not found.finished, passes(storage, forge)))[::-1]


def begin_pass(storage: Storage, forge: str, settings: ForgeSettings, now: datetime, *, full: bool) -> ForgePass:
    """Begin a pass: a full one if asked, at first, or if the last one is old; else one that looks for what is new."""
    past = passes(storage, forge)
    newest = next(past, None)
    number = 1 if newest is None else newest.place.number + 1
    since, first = _first(newest, past, settings, now, full=full)
    place = ForgePass(forge, number)
    begun = Begun(kind=settings.kind, url=settings.url, since=since, first=first, begun_at=now)
    storage.create(place.begun, begun.model_dump_json().encode())
    return place


def _first(
    newest: Pass | None, past: Iterator[Pass], settings: ForgeSettings, now: datetime, *, full: bool
) -> tuple[datetime | None, Cursor]:
    """Since when to look, None for a full pass, and where it begins."""
    before = iter(()) if newest is None or full else chain((newest,), past)
    if settings.kind == EVENTS:
        known = next((each for each in before if each.is_of(settings) and each.over and not each.given_up), None)
        since = None if known is None else known.begun.begun_at
        return since, hours_to_ask(None if known is None else known.progress, now, settings.hours)
    pager = settings.pager()
    since, highest = _since(before, settings, now) if pager.incremental else (None, 0)
    return since, pager.first(since=since, highest=highest)


def _since(before: Iterator[Pass], settings: ForgeSettings, now: datetime) -> tuple[datetime | None, int]:
    """Since when to look, and the largest id seen; None for a full pass. What a pass skipped is looked for again."""
    last_over: datetime | None = None
    highest = 0
    for each in before:
        if not each.is_of(settings):
            break
        if not each.over or each.given_up:
            continue
        highest = max(highest, each.progress.highest)
        if each.full:
            is_old = now - each.begun.begun_at >= timedelta(days=settings.full_days)
            return (None if is_old else (last_over or each.begun.begun_at) - settings.pager().lag), highest
        if each.progress.complete:
            last_over = last_over or each.begun.begun_at
    return None, highest


def complete_before(storage: Storage, place: ForgePass, settings: ForgeSettings) -> int | None:
    """The number of the last complete full pass before this one, None if there is none."""
    for each in passes(storage, place.forge):
        if not each.is_of(settings):
            return None
        if each.place.number < place.number and each.full and is_complete(each):
            return each.place.number
    return None


def is_complete(found: Pass) -> bool:
    """Whether everything was listed, and is merged."""
    return found.over and not found.given_up and found.progress.complete and found.merged == found.slices


def _name(path: str) -> str:
    return path.rpartition("/")[2]
