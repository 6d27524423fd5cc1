"""Items of JSON listings: whatever is in them, each becomes a ``Listing`` or a word that says what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pipeline.fetch.forges.cursor import BadPage
from pipeline.model.host import host_of
from pipeline.model.listing import LONGEST_TEXT, Listing
from pipeline.model.origin import BadOriginUrl, check_url, is_fetched
from pipeline.model.page import Page

Item = Mapping[str, Any]

LARGEST_NUMBER = 2**63 - 1


class BadItem(Exception):
    """An item that cannot be used; its text is the word for it."""


def items_of(page: Page, most: int) -> list[Any]:
    """The items of a page that is a JSON list.

    Raises:
        BadPage: it is not JSON, or something else, such as an error in a 200, or longer than it may be.
    """
    found = document_of(page)
    if not isinstance(found, list):
        raise BadPage(f"it is {_kind(found)} instead of a list")
    if len(found) > most:
        raise BadPage(f"it has {len(found):,} items, {most:,} at most were asked for")
    return found


def document_of(page: Page) -> Any:  # noqa: ANN401 - JSON
    """A page's JSON.

    Raises:
        BadPage: it is not JSON.
    """
    try:
        return json.loads(page.body)
    except (ValueError, RecursionError):
        raise BadPage(f"its {len(page.body):,} bytes are not JSON, or not all of it") from None


def _kind(found: object) -> str:
    return "an object" if isinstance(found, dict) else "a single value"


def read_items(items: Collection[Any], read: Callable[[Item], Listing]) -> tuple[tuple[Listing, ...], dict[str, int]]:
    """The listings of some items, the last one of each id, and how many items cannot be used, by reason.

    Args:
        read: raises ``BadItem`` for one that cannot be used.
    """
    found: dict[str, Listing] = {}
    bad: Counter[str] = Counter()
    for item in items:
        try:
            if not isinstance(item, dict):
                raise BadItem("no object")
            listing = read(item)
            if listing.forge_id in found:
                bad["double"] += 1
            found[listing.forge_id] = listing
        except BadItem as error:
            bad[str(error)] += 1
    return tuple(found.values()), dict(bad)


def number_of(item: object) -> int | None:
    """The id of an item, a positive number; None if it has none."""
    return number(item, "id") or None if isinstance(item, dict) else None


def id_of(item: Item) -> str:
    """The id of an item as text.

    Raises:
        BadItem: it has none.
    """
    found = number_of(item)
    if found is None:
        raise BadItem("no id")
    return str(found)


def clone_url(item: Item, name: str, hosts: Collection[str]) -> str:
    """A clone URL as it is stored.

    Args:
        hosts: names of hosts that it may lead to.

    Raises:
        BadItem: there is none, it cannot be an origin's, or it leads elsewhere.
    """
    found = item.get(name)
    if not isinstance(found, str):
        raise BadItem("no clone URL")
    try:
        url = check_url(found)
    except BadOriginUrl:
        raise BadItem("bad clone URL") from None
    if host_of(url) not in hosts or not is_fetched(url):
        raise BadItem("clone URL of another host")
    return url


def listing_at(path: bytes, clones: str, hosts: Collection[str], **shown: Any) -> Listing:  # noqa: ANN401 - fields
    """The listing of a repository that is known by its path.

    Args:
        clones: URL that the path is appended to.
        hosts: as in ``clone_url``.

    Raises:
        BadItem: the path is none, or cannot be an origin's.
    """
    try:
        found = path.decode().strip("/")
    except UnicodeDecodeError:
        raise BadItem("bad path") from None
    if not 0 < len(found) <= LONGEST_TEXT or not found.isprintable() or {".", ".."} & set(found.split("/")):
        raise BadItem("bad path")
    return Listing(found, clone_url({"url": f"{clones}/{quote(found)}"}, "url", hosts), **shown)


def parent_of(known: int | str | None, item: Item, name: str, hosts: Collection[str]) -> tuple[str | None, str | None]:
    """Id and clone URL of the repository that another one was forked from, each as far as it can be used.

    Args:
        known: the id; 0 is none.
        item: has the URL as ``name``.
        hosts: as in ``clone_url``.
    """
    found = str(known) if known else None
    try:
        return found, clone_url(item, name, hosts)
    except BadItem:
        return found, None


def part_of(item: Item, name: str) -> Item:
    """An object in an item, empty if there is none."""
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def truth(item: Item, name: str) -> bool | None:
    """A truth value, None if there is none."""
    found = item.get(name)
    return found if isinstance(found, bool) else None


def number(item: Item, name: str) -> int | None:
    """A number from 0 to 2^63 - 1, None if there is none."""
    found = item.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LARGEST_NUMBER else None


def scaled(item: Item, name: str, unit: int) -> int | None:
    """A number of units as a number, None if there is none, or it is too large."""
    found = number(item, name)
    return None if found is None or found > LARGEST_NUMBER // unit else found * unit


def text(item: Item, name: str) -> str | None:
    """A short printable text, None if there is none."""
    found = item.get(name)
    short = isinstance(found, str) and 0 < len(found) <= LONGEST_TEXT and found.isprintable()
    return found if short else None


def when(item: Item, name: str) -> datetime | None:
    """A time, None if there is none."""
    found = item.get(name)
    return time_of(found) if isinstance(found, str) else None


def time_of(found: str) -> datetime | None:
    """A time as ISO 8601 writes it, in UTC; None if it is none."""
    try:
        moment = datetime.fromisoformat(found)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
