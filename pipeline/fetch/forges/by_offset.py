"""Gitea's and Forgejo's listing, whose pages have a number and a size. A deletion moves all later items forward.

So each page begins with the last item seen. If it does not, items were deleted before it, and the listing goes back
until a page begins with something seen: what is listed during the whole pass is never passed over. Pages begin at
multiples of their size, so sizes differ: of all that hold the last item, the page that reaches farthest is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pipeline.fetch.forges.cursor import OVERLAP, BadPage, Batch, Cursor
from pipeline.fetch.forges.items import (
    Item,
    clone_url,
    document_of,
    id_of,
    number,
    number_of,
    parent_of,
    part_of,
    read_items,
    scaled,
    text,
    truth,
    when,
)
from pipeline.model.listing import Listing
from pipeline.model.page import Page

ITEMS = 50
"""Gitea gives no more on a page, unless it is configured to."""


MIRRORED = timedelta(hours=8)
"""How long Gitea waits, unless told otherwise, before it fetches again what it mirrors: its time is a commit's."""

LONGEST_NUMBER = 15
"""Most digits of a number of items."""


def page_at(index: int, floor: int, most: int) -> tuple[int, int]:
    """The page that holds an index, begins at ``floor`` or later, and reaches farthest: its first index and its size.

    >>> page_at(0, 0, 50), page_at(49, 0, 50), page_at(99, 98, 50)
    ((0, 50), (49, 49), (98, 49))
    """
    pages = ((index // size * size, size) for size in range(1, most + 1))
    return max((page for page in pages if page[0] >= floor), key=lambda page: (page[0] + page[1], page[1]))


@dataclass(frozen=True, slots=True)
class Gitea:
    """``GET /api/v1/repos/search`` by id or, for what changed after a time, by time of change, the latest first."""

    incremental: ClassVar[bool] = True
    lag: ClassVar[timedelta] = MIRRORED + OVERLAP
    html: ClassVar[bytes | None] = None

    base: str
    hosts: Collection[str]

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """The first page."""
        return Cursor(size=ITEMS, most=ITEMS, since=since)

    def address(self, cursor: Cursor) -> str:
        """Only this order by id is stable; links are built from another host's name, and not followed."""
        sort, order = ("id", "asc") if cursor.since is None else ("updated", "desc")
        asked = {"sort": sort, "order": order, "page": cursor.start // cursor.size + 1, "limit": cursor.size}
        return f"{self.base}/api/v1/repos/search?{urlencode(asked)}"

    def where(self, cursor: Cursor) -> str:
        """As people say it; Gitea counts pages from 1."""
        return f"page {cursor.start // cursor.size + 1} of {cursor.size} repositories each"

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """What a page says, and where to go on: after it, or back to what was seen before."""
        items = _data(page, cursor.size)
        keys = [key for item in items if (key := _key(item, cursor)) is not None]
        if items and not keys:
            raise BadPage(f"none of its {len(items):,} items has an id")
        last = cursor.last
        if cursor.overlaps and cursor.start > cursor.floor and (not keys or (last is not None and keys[0] > last)):
            return Batch(next=_back(cursor))
        listings, bad = read_items([item for item in items if _is_new(item, cursor)], self.listing)
        highest = max((found for item in items if (found := number_of(item)) is not None), default=0)
        total = _total(page)
        after = _after(cursor, len(items), keys, total)
        is_all = after is not None or cursor.since is not None or total is None or cursor.start + len(items) >= total
        return Batch(listings, bad, after, is_all, highest)

    def listing(self, item: Item) -> Listing:
        """One item; sizes are in KiB."""
        parent = part_of(item, "parent")
        parent_id, parent_url = parent_of(number_of(parent), parent, "clone_url", self.hosts)
        hidden = [truth(item, "private"), truth(item, "internal")]
        return Listing(
            forge_id=id_of(item),
            url=clone_url(item, "clone_url", self.hosts),
            fork=truth(item, "fork"),
            parent_id=parent_id,
            parent_url=parent_url,
            archived=truth(item, "archived"),
            private=True if True in hidden else hidden[0],
            empty=truth(item, "empty"),
            mirror=truth(item, "mirror"),
            size_bytes=scaled(item, "size", 1024),
            default_branch=text(item, "default_branch"),
            license=_licenses(item.get("licenses")),
            stars=number(item, "stars_count"),
            changed_at=when(item, "updated_at"),
        )

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | None:
        """A smaller page with the next item or, if that was alone, the page after it."""
        if cursor.size == 1:
            past = cursor.seen + 1
            return _onward(cursor.model_copy(update={"seen": past, "floor": past})), True
        start, size = page_at(cursor.seen, cursor.floor, cursor.size // 2)
        return cursor.model_copy(update={"start": start, "size": size, "overlaps": start < cursor.seen}), False


def _data(page: Page, most: int) -> list[Any]:
    document = document_of(page)
    if not isinstance(document, dict) or document.get("ok") is not True or not isinstance(document.get("data"), list):
        raise BadPage("it has no list of repositories")
    items: list[Any] = document["data"]
    if len(items) > most:
        raise BadPage(f"it has {len(items):,} items, {most:,} at most were asked for")
    return items


def _key(item: object, cursor: Cursor) -> float | None:
    """What the listing is sorted by."""
    found = number_of(item)
    if found is None or not isinstance(item, dict):
        return None
    if cursor.since is None:
        return float(found)
    changed = when(item, "updated_at")
    return None if changed is None else -changed.timestamp()


def _is_new(item: object, cursor: Cursor) -> bool:
    """Whether an item comes after all seen before, or cannot be used; those of one moment may come again."""
    key = _key(item, cursor)
    if key is None:
        return True
    if cursor.since is None:
        return cursor.last is None or key > cursor.last
    return -key >= cursor.since.timestamp() and (cursor.last is None or key >= cursor.last)


def _total(page: Page) -> int | None:
    found = page.headers.get("x-total-count", "")
    return int(found) if found.isascii() and found.isdecimal() and len(found) <= LONGEST_NUMBER else None


def _back(cursor: Cursor) -> Cursor:
    back = max(2 * cursor.back, 1)
    start, size = page_at(max(cursor.start - back * cursor.most, cursor.floor), cursor.floor, cursor.most)
    return cursor.model_copy(update={"start": start, "size": size, "seen": start, "overlaps": True, "back": back})


def _after(cursor: Cursor, items: int, keys: Sequence[float], total: int | None) -> Cursor | None:
    """The page after one with so many items, or None after the last one."""
    seen, last = cursor.start + items, max(keys, default=0.0)
    is_news = cursor.last is None or last > cursor.last
    if not items or (total is not None and seen >= total):
        return None
    if cursor.since is not None and -last < cursor.since.timestamp():
        return None
    most = cursor.most
    if items < cursor.size:
        if not is_news:
            return None
        most = min(most, items)  # the forge gives no more on a page, or this is the last one
    changed = {"seen": seen, "last": last if is_news else cursor.last, "most": most}
    return _onward(cursor.model_copy(update={**changed, "back": 0 if is_news else cursor.back}))


def _onward(cursor: Cursor) -> Cursor:
    """The page that begins with the last item seen, or earlier, and reaches farthest."""
    start, size = page_at(max(cursor.seen - 1, cursor.floor), cursor.floor, cursor.most)
    if start + size <= cursor.seen:  # no page holds both the last item seen and the next one
        start, size = page_at(cursor.seen, cursor.floor, cursor.most)
    return cursor.model_copy(update={"start": start, "size": size, "overlaps": start < cursor.seen})


def _licenses(found: object) -> str | None:
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return text({"names": ", ".join(names)}, "names")
