"""Listings that are one page: lists of URLs, grokmirror's manifests, and gitweb's index of projects."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from pipeline.fetch.forges.cursor import OVERLAP, BadPage, Batch, Cursor
from pipeline.fetch.forges.items import BadItem, Item, document_of, listing_at, number, text
from pipeline.model.listing import Listing
from pipeline.model.origin import Origin
from pipeline.model.origin_list import BadOriginList, parse_origin_list
from pipeline.model.page import Page

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class _Whole:
    """``url``: of the page."""

    incremental: ClassVar[bool] = False
    lag: ClassVar[timedelta] = OVERLAP
    html: ClassVar[bytes | None] = None

    url: str

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """The only page."""
        return Cursor()

    def address(self, cursor: Cursor) -> str:
        """The only page."""
        return self.url

    def where(self, cursor: Cursor) -> str:
        """As people say it."""
        return "its only page"

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | None:
        """There is none."""
        return None


@dataclass(frozen=True, slots=True)
class Lines(_Whole):
    """A list of clone URLs as ``pipeline origins add --from`` reads it; its owner answers for where they lead."""

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """Each line that can be used."""
        found: dict[str, Listing] = {}
        bad: Counter[str] = Counter()
        for line in _text(page).splitlines():
            try:
                for origin in parse_origin_list("", [line]):
                    found.setdefault(origin.url, _of(origin))
            except BadOriginList:
                bad["bad line"] += 1
        return Batch(tuple(found.values()), dict(bad))


def _of(origin: Origin) -> Listing:
    fork = origin.fork_of is not None
    return Listing(origin.url, origin.url, fork, origin.fork_of, origin.fork_of)


@dataclass(frozen=True, slots=True)
class _Paths(_Whole):
    """``clones``: what a repository's path is appended to; ``hosts``: as elsewhere; ``largest``: bytes, inflated."""

    clones: str
    hosts: Collection[str]
    largest: int

    def listing_of(self, path: bytes, **shown: Any) -> Listing:  # noqa: ANN401 - fields of a listing
        """The listing of a repository that is known by its path."""
        return listing_at(path, self.clones, self.hosts, **shown)

    def gathered(self, listings: Iterator[Callable[[], Listing]]) -> Batch:
        """The listings that can be made, the last one of each path."""
        found: dict[str, Listing] = {}
        bad: Counter[str] = Counter()
        for make in listings:
            try:
                listing = make()
                found[listing.forge_id] = listing
            except BadItem as error:
                bad[str(error)] += 1
        return Batch(tuple(found.values()), dict(bad))


@dataclass(frozen=True, slots=True)
class Grokmirror(_Paths):
    """``manifest.js`` or ``manifest.js.gz``: an object of repositories by path."""

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """Each repository; ``reference`` is what it borrows objects from, so it is taken for its fork parent.

        ``fingerprint`` is a digest of its refs, whatever time its newest commit has.
        """
        document = document_of(_inflated(page, self.largest))
        if not isinstance(document, dict):
            raise BadPage("it is not an object of repositories by path")
        return self.gathered(_later(self._repository, path, item) for path, item in document.items())

    def _repository(self, path: str, item: Item) -> Listing:
        if not isinstance(item, dict):
            raise BadItem("no object")
        reference, modified = item.get("reference"), number(item, "modified")
        parent = self.listing_of(_bytes(reference)) if isinstance(reference, str) else None
        return self.listing_of(
            _bytes(path),
            fork=parent is not None,
            parent_id=None if parent is None else parent.forge_id,
            parent_url=None if parent is None else parent.url,
            changed_at=None if not modified else _moment(modified),
            fingerprint=text(item, "fingerprint"),
        )


@dataclass(frozen=True, slots=True)
class Gitweb(_Paths):
    """``?a=project_index``: a line for each repository, its path and its owner, with what is unusual encoded."""

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """Each repository."""
        lines = [words[0] for line in _text(page).splitlines() if (words := line.split())]
        return self.gathered(_later(self.listing_of, unquote_to_bytes(path.replace("+", " "))) for path in lines)


def _later(make: Callable[..., Listing], *values: Any) -> Callable[[], Listing]:  # noqa: ANN401 - JSON
    return lambda: make(*values)


def _bytes(path: str) -> bytes:
    return path.encode(errors="surrogatepass")


def _text(page: Page) -> str:
    try:
        return page.body.decode()
    except UnicodeDecodeError:
        raise BadPage("it is not text") from None


def _inflated(page: Page, largest: int) -> Page:
    if not page.body.startswith(_GZIP):
        return page
    try:
        with gzip.open(BytesIO(page.body)) as stream:
            body = stream.read(largest + 1)
    except (OSError, EOFError, zlib.error):
        raise BadPage("it cannot be decompressed") from None
    if len(body) > largest:
        raise BadPage(f"it exceeds {largest:,} bytes, decompressed")
    return Page(page.headers, body)


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
