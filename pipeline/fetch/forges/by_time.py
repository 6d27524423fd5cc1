"""Bitbucket's listing of a workspace in the order of creation: each page has what was created at a time or later.

So deletions and creations move nothing. The link to the next page is not followed, it only says that there is more.
Filters are given in milliseconds, as Bitbucket's manual has them, so what was created in that of the last item is
asked for again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pipeline.fetch.forges.cursor import OVERLAP, BadPage, Batch, Cursor
from pipeline.fetch.forges.items import (
    BadItem,
    Item,
    clone_url,
    document_of,
    number,
    parent_of,
    part_of,
    read_items,
    text,
    truth,
    when,
)
from pipeline.model.listing import Listing
from pipeline.model.page import Page

SIZES = (100, 20, 4)
"""Items of a page, which Bitbucket limits to 100, and those of smaller ones in turn."""


@dataclass(frozen=True, slots=True)
class Bitbucket:
    """``GET /2.0/repositories/WORKSPACE``, with filters; ``base`` is its URL, ``hosts`` is as elsewhere."""

    incremental: ClassVar[bool] = True
    lag: ClassVar[timedelta] = OVERLAP
    html: ClassVar[bytes | None] = None

    base: str
    hosts: Collection[str]

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """The first page."""
        return Cursor(size=SIZES[0], since=since)

    def address(self, cursor: Cursor) -> str:
        """Of repositories of one millisecond, the last page may have had some only: they are asked for again."""
        bounds = (("created_on", cursor.after), ("updated_on", cursor.since))
        asked = {"pagelen": cursor.size, "sort": "created_on"}
        query = " AND ".join(
            f"{name} >= {bound.isoformat(timespec='milliseconds')}" for name, bound in bounds if bound is not None
        )
        return f"{self.base}?{urlencode(asked | ({'q': query} if query else {}))}"

    def where(self, cursor: Cursor) -> str:
        """As people say it."""
        return f"the {cursor.size} created from {'the beginning' if cursor.after is None else cursor.after} on"

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """What a page says, and what comes after it."""
        items, has_more = _values(page, cursor.size)
        times = [moment for item in items if (moment := _created(item)) is not None]
        if items and not times:
            raise BadPage(f"none of its {len(items):,} items has a time of creation")
        begin = None if cursor.after is None else _asked(cursor.after)
        if times != sorted(times) or (begin is not None and times and times[0] < begin):
            raise BadPage("its items are not in the order of creation")
        if has_more and (not times or _asked(times[-1]) == begin):
            raise BadPage("nothing comes after it, but it says that there is more")
        listings, bad = read_items([item for item in items if _uuid(item) not in cursor.tail], self.listing)
        return Batch(listings, bad, _onward(cursor, items, times[-1]) if has_more else None)

    def listing(self, item: Item) -> Listing:
        """One item. Clone URLs may have the name of who asks in them, so that of its page is taken."""
        uuid = _uuid(item)
        if uuid is None:
            raise BadItem("no id")
        if item.get("scm") != "git":
            raise BadItem("no git repository")
        parent = part_of(item, "parent")
        parent_id, parent_url = parent_of(_uuid(parent), _page(parent), "href", self.hosts)
        return Listing(
            forge_id=uuid,
            url=clone_url(_page(item), "href", self.hosts),
            fork=parent_id is not None,
            parent_id=parent_id,
            parent_url=parent_url,
            private=truth(item, "is_private"),
            size_bytes=number(item, "size"),
            default_branch=text(part_of(item, "mainbranch"), "name"),
            changed_at=when(item, "updated_on"),
        )

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | None:
        """Fewer items; without their times there is no way past them."""
        smaller = next((size for size in SIZES if size < cursor.size), None)
        return None if smaller is None else (cursor.model_copy(update={"size": smaller}), False)


def _values(page: Page, most: int) -> tuple[list[Any], bool]:
    document = document_of(page)
    if not isinstance(document, dict) or not isinstance(document.get("values"), list):
        raise BadPage("it has no list of repositories")
    values: list[Any] = document["values"]
    if len(values) > most:
        raise BadPage(f"it has {len(values):,} items, {most:,} at most were asked for")
    return values, "next" in document


def _created(item: object) -> datetime | None:
    return when(item, "created_on") if isinstance(item, dict) else None


def _uuid(item: object) -> str | None:
    return text(item, "uuid") if isinstance(item, dict) else None


def _page(item: Item) -> Item:
    """Has the address of a repository's page as ``href``."""
    return part_of(part_of(item, "links"), "html")


def _asked(moment: datetime) -> datetime:
    """The millisecond of a time."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _onward(cursor: Cursor, items: Collection[Any], last: datetime) -> Cursor:
    """The page that begins with what was created in the millisecond of the last item."""
    after = _asked(last)
    shown = ((_created(item), _uuid(item)) for item in items)
    again = {uuid for created, uuid in shown if uuid is not None and created is not None and created >= after}
    return cursor.model_copy(update={"after": after, "tail": tuple(sorted(again)), "size": SIZES[0]})
