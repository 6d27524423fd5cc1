"""How far a listing has come, and what one page of it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from pipeline.model.listing import Listing
from pipeline.model.page import Page

OVERLAP = timedelta(hours=2)
"""How far back a pass looks before the last one began: clocks differ, and some forges write times once an hour."""


class Held(NamedTuple):
    """A repository that a page has shown, and whose details are asked for next.

    ``node``: its id for that.
    """

    node: str
    listing: Listing


class Cursor(BaseModel):
    """The next page of a listing. Which fields count depends on the kind of forge.

    ``seen``: the id after which, or the number of items after which, the page begins; ``size``: items to ask for;
    ``jumps``: how often ids were jumped over, because no page with them could be read; ``since``: only what changed
    after this time; ``start``: index of the page's first item; ``most``: items that the forge gives at most; ``last``:
    the sort key of the last item seen; ``floor``: no item below this index is looked at again; ``overlaps``: the page
    should begin with something seen before; ``back``: how many pages the listing went back last; ``tail``: marks of the
    items at the end of the last page; ``after``: when what the page has was created, or later; ``hours``: hours of
    events, each a page, whose first one is the next; ``held``: repositories whose details come before the next page;
    ``asks``: of how many of them a question asks, 0 for as many as one can.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seen: int = 0
    size: int = 0
    jumps: int = 0
    since: datetime | None = None
    start: int = 0
    most: int = 0
    last: float | None = None
    floor: int = 0
    overlaps: bool = False
    back: int = 0
    tail: tuple[str, ...] = ()
    after: datetime | None = None
    hours: tuple[int, ...] = ()
    held: tuple[Held, ...] = ()
    asks: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a page says.

    Attributes:
        listings: each repository once.
        bad: items that cannot be used, counted by what is wrong with them.
        next: the page after this one; None after the last one.
        whole: False if the forge says that it has more than it gave.
        highest: the largest id seen, 0 for none; new repositories have larger ones.
        late: hours that are asked for again in the next pass.
    """

    listings: tuple[Listing, ...] = ()
    bad: Mapping[str, int] = field(default_factory=dict)
    next: Cursor | None = None
    whole: bool = True
    highest: int = 0
    late: tuple[int, ...] = ()


class Question(NamedTuple):
    """What is posted to ask for a page.

    ``parts``: how many things it asks for; ``is_limit``: whether an answer says that we ask too much.
    """

    url: str
    document: bytes
    parts: int
    is_limit: Callable[[Page], bool]


class BadPage(Exception):
    """A page that came is not a page of such a listing. Its text says what is wrong, and quotes nothing."""

    code = "bad_page"


class Pager(Protocol):
    """The rules of a kind of forge: pure, without a connection. Only some can look for what is new or changed.

    ``lag``: how far back a pass looks before the last one began; ``html``: what each of its pages has if they are HTML,
    and no other page of the server; None if they are not.
    """

    incremental: ClassVar[bool]
    lag: ClassVar[timedelta]
    html: ClassVar[bytes | None]

    def first(self, *, since: datetime | None = None, highest: int = 0) -> Cursor:
        """Where a pass begins.

        Args:
            since: list what changed after this time, and what is new; None for everything.
            highest: the largest id that earlier passes saw.
        """

    def address(self, cursor: Cursor) -> str | Question:
        """The URL of a page, or what to post for it."""

    def where(self, cursor: Cursor) -> str:
        """The same, for people."""

    def read(self, cursor: Cursor, page: Page) -> Batch:
        """What a page says.

        Raises:
            BadPage: it is not one.
        """

    def around(self, cursor: Cursor) -> tuple[Cursor, bool] | Batch | None:
        """How to go on when a page cannot be read: with a smaller one or, second, past something that stays unseen.

        None if there is no way around. A question with several parts is always made smaller, which loses nothing; of
        one with a single part, a batch is what is known without an answer.
        """
