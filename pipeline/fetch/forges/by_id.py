"""Listings in the order of ids: each page has what comes after an id. Deletions and creations move nothing.

GitHub's ``/repositories`` and GitLab's projects with keyset pagination. Links are neither needed nor followed: the next
page comes after the largest id of this one, and only an empty page ends the listing. GitHub's pages say little, so
GraphQL may be asked for details of what one of them showed, before the next one is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pipeline.fetch.forges import details
from pipeline.fetch.forges.cursor import OVERLAP, BadPage, Batch, Cursor, Held, Question
from pipeline.fetch.forges.items import (
    Item,
    clone_url,
    id_of,
    items_of,
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

MOST_JUMPS = 12
"""Times in a row that ids are jumped over, to get past items with which a forge can show no page: 2,048 ids."""


@dataclass(frozen=True, slots=True)
class _ById:
    """``base``: URL of the interface; ``hosts``: names of the hosts that clone URLs may lead to."""

    incremental: ClassVar[bool] = True
    lag: ClassVar[timedelta] = OVERLAP
    html: ClassVar[bytes | None] = None

    base: str
    hosts: Collection[str]

    sizes: Sequence[int] = (100,)
    """Items of a page, and those of smaller ones in turn."""

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """After all ids that are known, if only new ones are wanted."""
        return Cursor(seen=0 if since is None else highest, size=self.sizes[0])

    def where(self, cursor: Cursor) -> str:
        """As people say it."""
        return f"the {cursor.size} after id {cursor.seen}"

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """What a page says, and what comes after it."""
        return self.batch(cursor, items_of(page, self.sizes[0]))

    def batch(self, cursor: Cursor, items: Sequence[Any]) -> Batch:
        """The same of the page's items."""
        if not items:
            return Batch()
        highest = max((found for item in items if (found := number_of(item)) is not None), default=0)
        if highest <= cursor.seen:
            raise BadPage(f"none of its {len(items):,} items has an id after {cursor.seen}")
        listings, bad = read_items(items, self.listing)
        after = cursor.model_copy(update={"seen": highest, "size": self.sizes[0], "jumps": 0})
        return Batch(listings, bad, after, highest=highest)

    def listing(self, item: Item) -> Listing:
        """One item."""
        raise NotImplementedError("abstract")

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | Batch | None:
        """Fewer items, then without those that come next: one, one more, and two, four, eight more and so on."""
        smaller = next((size for size in self.sizes if size < cursor.size), None)
        if smaller is not None:
            return cursor.model_copy(update={"size": smaller}), False
        jumps = cursor.jumps + 1
        if jumps > MOST_JUMPS:
            return None
        past = cursor.seen + 2 ** max(jumps - 2, 0)
        return cursor.model_copy(update={"seen": past, "jumps": jumps}), True


@dataclass(frozen=True, slots=True)
class GitHub(_ById):
    """``GET /repositories?since=ID``. Its items are short; passes after the first find what is new, and no changes.

    ``asks_details``: GraphQL is asked as well. Repositories whose details cannot be had are listed as REST shows them.
    """

    asks_details: bool = False

    def address(self, cursor: Cursor) -> str | Question:
        """GitHub decides how many items a page has."""
        if asked := self._asked(cursor):
            url = details.address_of(self.base)
            return Question(url, details.question(asked), len(asked), details.is_limit)
        return f"{self.base}/repositories?{urlencode({'since': cursor.seen})}"

    def where(self, cursor: Cursor) -> str:
        """As people say it."""
        asked = self._asked(cursor)
        return f"the details of {len(asked)} to id {cursor.seen}" if asked else _ById.where(self, cursor)

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """Of a page of REST, what has an id for GraphQL is held until the details are there."""
        if asked := self._asked(cursor):
            listings, bad = details.answered(page, asked, self.hosts)
            most = _most(cursor)
            asks = most if len(asked) < most else min(2 * most, details.MOST_ASKED)
            after = cursor.model_copy(update={"held": cursor.held[len(asked) :], "asks": asks})
            return Batch(listings, bad, after)
        items = items_of(page, self.sizes[0])
        batch = self.batch(cursor, items)
        nodes = {str(number_of(item)): text(item, "node_id") for item in items if isinstance(item, dict)}
        held = tuple(
            Held(node, listing)
            for listing in batch.listings
            if self.asks_details and (node := nodes.get(listing.forge_id)) is not None
        )
        shown = {each.listing.forge_id for each in held}
        without = tuple(each.listing for each in cursor.held)
        return replace(
            batch,
            listings=(*without, *(listing for listing in batch.listings if listing.forge_id not in shown)),
            bad={**batch.bad, **({"no details": len(without)} if without else {})},
            next=None if batch.next is None else batch.next.model_copy(update={"held": held}),
        )

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | Batch | None:
        """Details of fewer, then of all but the next one; nothing stays unlisted for that."""
        asked = self._asked(cursor)
        if not asked:
            return _ById.around(self, cursor)
        if len(asked) > 1:
            return cursor.model_copy(update={"asks": len(asked) // 2}), False
        after = cursor.model_copy(update={"held": cursor.held[1:]})
        return Batch((asked[0].listing,), {"no details": 1}, after)

    def _asked(self, cursor: Cursor) -> Sequence[Held]:
        """Whose details are asked for next."""
        return cursor.held[: _most(cursor)] if self.asks_details else ()

    def listing(self, item: Item) -> Listing:
        """One item; sizes are in KiB, and 0 until they are known."""
        full = isinstance(item.get("clone_url"), str)
        return Listing(
            forge_id=id_of(item),
            url=clone_url(item, "clone_url" if full else "html_url", self.hosts),
            fork=truth(item, "fork"),
            archived=truth(item, "archived"),
            private=truth(item, "private"),
            size_bytes=scaled(item, "size", 1024) or None,
            default_branch=text(item, "default_branch"),
            license=text(part_of(item, "license"), "spdx_id"),
            stars=number(item, "stargazers_count"),
            changed_at=when(item, "pushed_at"),
        )


def _most(cursor: Cursor) -> int:
    return cursor.asks or details.MOST_ASKED


@dataclass(frozen=True, slots=True)
class GitLab(_ById):
    """``GET /api/v4/projects`` by id. Without a token it says neither who is a fork nor what is archived or empty."""

    sizes: Sequence[int] = (100, 20, 4, 1)

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """What changed after a time is listed by id, too, new projects among it."""
        return Cursor(size=self.sizes[0], since=since)

    def address(self, cursor: Cursor) -> str:
        """Keyset pagination is asked for in so many words: offsets end at 50,000."""
        asked: dict[str, object] = {
            "pagination": "keyset", "order_by": "id", "sort": "asc", "per_page": cursor.size, "id_after": cursor.seen,
        }  # fmt: skip
        if cursor.since is not None:
            asked["last_activity_after"] = cursor.since.isoformat()
        return f"{self.base}/api/v4/projects?{urlencode(asked)}"

    def listing(self, item: Item) -> Listing:
        """One item. What has no default branch cannot be read."""
        parent = part_of(item, "forked_from_project")
        parent_id, parent_url = parent_of(number_of(parent), parent, "http_url_to_repo", self.hosts)
        seen_as = text(item, "visibility")
        return Listing(
            forge_id=id_of(item),
            url=clone_url(item, "http_url_to_repo", self.hosts),
            fork=True if parent_id is not None else None,
            parent_id=parent_id,
            parent_url=parent_url,
            archived=truth(item, "archived"),
            private=None if seen_as is None else seen_as != "public",
            empty=truth(item, "empty_repo"),
            mirror=truth(item, "mirror"),
            default_branch=text(item, "default_branch"),
            stars=number(item, "star_count"),
            changed_at=when(item, "last_activity_at"),
        )
