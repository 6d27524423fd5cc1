"""cgit's index: pages of HTML that begin after any number of repositories, by name or, for changes, by age.

In which order a server puts names is its own affair, and repositories have no numbers. So pages are joined by what
they share: each is asked for so that it begins with the last repository of the one before. If it has none of those
that the one before ended with, some of them were deleted, or others came before them, and the listing goes back until
a page has one. What is there during the whole pass is never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import ClassVar
from urllib.parse import unquote_to_bytes, urlencode, urlsplit

from pipeline.fetch.forges.cursor import OVERLAP, BadPage, Batch, Cursor
from pipeline.fetch.forges.items import BadItem, Item, listing_at, read_items, text
from pipeline.model.listing import Listing
from pipeline.model.page import Page

TAIL = 50
"""Repositories at the end of a page that the next one is compared with."""

MOST_RESTARTS = 3
"""Times that a pass goes back to the first page and finds nothing it knows there, before it counts as incomplete."""

_TABLE, _END = b"<table summary='repository list'", b"</table>"
_PAGER = b" class='pager'"

# Each is tried once a row, and is linear in it: a page may be made to be slow to read.
_REPOSITORY = re.compile(rb"[^>]*><td class='(?:top|sub)level-repo'><a[^>]*? href='([^']*)'")
_AGE = re.compile(rb" title='(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})'")


@dataclass(frozen=True, slots=True)
class Cgit:
    """``base``: URL of the index; ``clones``: what a repository's path is appended to; ``hosts``: as elsewhere."""

    incremental: ClassVar[bool] = True
    lag: ClassVar[timedelta] = OVERLAP
    html: ClassVar[bytes | None] = _TABLE

    base: str
    clones: str
    hosts: Collection[str]

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """The first page."""
        return Cursor(since=since)

    def address(self, cursor: Cursor) -> str:
        """Without an order asked for, some servers sort by age, and what is pushed to moves past the listing."""
        return f"{self.base}/?{urlencode({'s': 'name' if cursor.since is None else 'idle', 'ofs': cursor.start})}"

    def where(self, cursor: Cursor) -> str:
        """As people say it."""
        return f"the page from repository {cursor.start + 1}"

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | None:
        """There is none: the server decides how many repositories a page has."""
        return None

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """What a page says, and where to go on: after it, or back to what was seen before."""
        items, is_only = _items(page)
        marks = [_mark(item) for item in items]
        is_lost = bool(cursor.tail) and set(cursor.tail).isdisjoint(marks)
        if is_lost and cursor.start > 0:
            return Batch(next=_back(cursor))
        restarts = cursor.jumps + is_lost
        listings, bad = read_items(
            [item for item, mark in zip(items, marks, strict=True) if mark not in cursor.tail], self.listing
        )
        if items and bad.get("path elsewhere", 0) == len(items):
            raise BadPage(f"none of its {len(items):,} repositories lies below the path of the forge's URL")
        is_last = is_only or len(items) < cursor.size or _is_old(items, cursor.since)
        whole = restarts <= MOST_RESTARTS and (is_last or len(items) > 1)
        return Batch(listings, bad, None if is_last else _onward(cursor, marks, restarts), whole)

    def listing(self, item: Item) -> Listing:
        """One row. An age may be that of a repacking; many have none: empty ones, and those without a branch master."""
        path, root = unquote_to_bytes(item["href"]), unquote_to_bytes(urlsplit(self.base).path) + b"/"
        if not path.startswith(root):
            raise BadItem("path elsewhere")
        return listing_at(path[len(root) :], self.clones, self.hosts, changed_at=_changed(item))


def _items(page: Page) -> tuple[list[Item], bool]:
    """The rows of a page's list with a repository, and whether no other page has more of them."""
    _, begins, rest = page.body.partition(_TABLE)
    table, ends, rest = rest.partition(_END)
    if not begins or not ends:
        raise BadPage("it has no list of repositories, or not all of it")
    items: list[Item] = []
    for row in table.split(b"<tr")[1:]:
        if found := _REPOSITORY.match(row):
            ages = _AGE.findall(row)
            items.append({"href": found[1], "age": ages[-1].decode() if ages else None})
    return items, _PAGER not in rest


def _mark(item: Item) -> str:
    return blake2b(item["href"], digest_size=6).hexdigest()


def _changed(item: Item) -> datetime | None:
    found = text(item, "age")
    try:
        return None if found is None else datetime.strptime(found, "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_old(items: Sequence[Item], since: datetime | None) -> bool:
    """Whether a page, the latest changes first, reaches back before a time."""
    times = (_changed(item) for item in items)
    return since is not None and any(found < since for found in times if found is not None)


def _back(cursor: Cursor) -> Cursor:
    back = max(2 * cursor.back, 1)
    return cursor.model_copy(update={"start": max(cursor.start - back * cursor.size, 0), "back": back})


def _onward(cursor: Cursor, marks: Sequence[str], restarts: int) -> Cursor:
    """The page that begins with the last item of this one, or after it if there was but one."""
    step = max(len(marks) - 1, 1)
    is_checked = len(marks) > 1 and restarts <= MOST_RESTARTS
    return cursor.model_copy(
        update={
            "start": cursor.start + step,
            "size": max(cursor.size, len(marks)),
            "tail": tuple(marks[-TAIL:]) if is_checked else (),
            "jumps": restarts,
            "back": 0,
        }
    )
