"""Passes over a forge's listing, as the storage has them: which is under way, and what the next one is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from pipeline.forges.cursor import Cursor
from pipeline.forges.pages import Progress, last_progress
from pipeline.forges.settings import ForgeSettings
from pipeline.model.layout import FORGES, ForgePass
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage


class Begun(BaseModel):
    """What a pass is. ``since``: None for a full one, else it looks for what is new or changed after this time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    url: str
    since: datetime | None
    first: Cursor
    begun_at: datetime


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
    """

    place: ForgePass
    begun: Begun
    slices: int
    merged: int
    progress: Progress
    over: bool

    @property
    def full(self) -> bool:
        """Whether it listed, or lists, everything."""
        return self.begun.since is None

    def is_of(self, settings: ForgeSettings) -> bool:
        """Whether it is one over this forge, and not over another one that had its name."""
        return (self.begun.kind, self.begun.url) == (settings.kind, settings.url)


def passes(storage: Storage, forge: str) -> Iterator[Pass]:
    """The passes over a forge, the newest first; those whose first file is missing never began."""
    numbers = sorted(
        int(name) for entry in storage.list(f"{FORGES}/{forge}") if (name := _name(entry.path)).isdecimal()
    )
    for number in reversed(numbers):
        found = read_pass(storage, ForgePass(forge, number))
        if found is not None:
            yield found


def read_pass(storage: Storage, place: ForgePass) -> Pass | None:
    """A pass, None if it never began.

    Raises:
        StoredFileDamaged: one of its files cannot be read.
    """
    try:
        begun = read_document(storage, place.begun, Begun.model_validate_json)
    except FileMissing:
        return None
    names = {_name(entry.path) for entry in storage.list(place.root)}
    slices = merged = 0
    while _name(place.manifest(slices + 1)) in names:
        slices += 1
    while _name(place.merged(merged + 1)) in names:
        merged += 1
    progress = read_manifest(storage, place, slices).progress if slices else Progress(next=begun.first)
    over = progress.next is None
    if not over:
        progress = last_progress(storage, place, slices + 1) or progress
    return Pass(place, begun, slices, merged, progress, over)


def read_manifest(storage: Storage, place: ForgePass, slice_: int) -> SliceManifest:
    """The manifest of a slice that is listed."""
    return read_document(storage, place.manifest(slice_), SliceManifest.model_validate_json)


def delete_merged(storage: Storage, found: Pass) -> None:
    """Delete pages of merged slices, which a merge left that was killed, or a second crawl."""
    merged = {found.place.pages(part) for part in range(1, found.merged + 1)}
    for entry in storage.list(found.place.root):
        if entry.is_dir and entry.path in merged:
            storage.delete(entry.path, recursive=True)


def begin_pass(storage: Storage, forge: str, settings: ForgeSettings, now: datetime, *, full: bool) -> ForgePass:
    """Begin a pass: a full one if asked, at first, or if the last one is old; else one that looks for what is new."""
    past = passes(storage, forge)
    newest = next(past, None)
    number = 1 if newest is None else newest.place.number + 1
    pager = settings.pager()
    since, highest = None, 0
    if pager.incremental and not full and newest is not None:
        since, highest = _since(newest, past, settings, now)
    place = ForgePass(forge, number)
    first = pager.first(since=since, highest=highest)
    begun = Begun(kind=settings.kind, url=settings.url, since=since, first=first, begun_at=now)
    storage.create(place.begun, begun.model_dump_json().encode())
    return place


def _since(newest: Pass, past: Iterator[Pass], settings: ForgeSettings, now: datetime) -> tuple[datetime | None, int]:
    """Since when to look, and the largest id seen; None for a full pass. What a pass skipped is looked for again."""
    last_over: datetime | None = None
    highest = 0
    for each in (newest, *past):
        if not each.is_of(settings):
            break
        if not each.over:
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
        if each.place.number < place.number and each.full and _is_complete(each):
            return each.place.number
    return None


def _is_complete(found: Pass) -> bool:
    return found.over and found.progress.complete and found.merged == found.slices


def _name(path: str) -> str:
    return path.rpartition("/")[2]
