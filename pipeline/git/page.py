"""A page or file over HTTP, asked for as visits ask: by the same dialer, within the host's limits, with its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast
from urllib.parse import urljoin, urlsplit

import urllib3

from pipeline.git.conditions import Conditions
from pipeline.git.errors import LimitExceeded, ProtocolError, RateLimited, SchemeRefused
from pipeline.git.host_turn import HostTurn
from pipeline.git.http_pool import REDIRECTS, open_pool
from pipeline.git.network import Deadline, Dialer
from pipeline.git.transport import HTML, Meter, check_status, check_wall, check_wall_page, content_type, origin_errors
from pipeline.model.host import host_of
from pipeline.model.page import Page
from pipeline.rules.asked_wait import FORBIDDEN

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse

PAGE_S = 300.0
"""Most seconds that a page may take, waits for the host's turn not counted."""

FILE_S = 1_800.0
"""The same of a file."""

MOST_POSTED = 1 << 20
"""Most bytes of a document that is posted."""

T = TypeVar("T")

_PIECE = 65_536
_SCHEMES = ("http", "https")


def get_page(
    url: str,
    conditions: Conditions,
    *,
    largest: int,
    html: bytes | None = None,
    night: int = 0,
    waits: Callable[[], None] = lambda: None,
) -> Page:
    """Ask for a page. A redirect is followed to the same host only.

    Args:
        url: http or https.
        largest: most bytes of its body, decompressed.
        html: what the page has if it is HTML, and no page that tells people from programs; None refuses HTML.
        night: ordinal of the date that the request counts for.
        waits: called from time to time during waits for the host's turn.

    Raises:
        OriginError: one of its subclasses, whatever the server did.
    """
    return _received(url, conditions, PAGE_S, night, waits, lambda response: _page(response, largest, html))


def post_page(
    url: str,
    document: bytes,
    conditions: Conditions,
    *,
    largest: int,
    is_limit: Callable[[Page], bool],
    night: int = 0,
    waits: Callable[[], None] = lambda: None,
) -> Page:
    """Post a document that only asks, and take the page that answers it. No redirect is followed.

    Args:
        document: JSON.
        is_limit: whether a page, with the status 200 or 403, says that we ask too much; then the host is left alone.
        url, largest, night, waits: as in ``get_page``.

    Raises:
        OriginError: as in ``get_page``.
    """
    if len(document) > MOST_POSTED:
        raise LimitExceeded(f"a question exceeds {MOST_POSTED:,} bytes")
    return _received(
        url, conditions, PAGE_S, night, waits, lambda response: _answer(response, largest, is_limit), document
    )


def save_file(url: str, conditions: Conditions, to: BinaryIO, *, largest: int, night: int = 0) -> None:
    """Ask for a file, and write its bytes as they are sent. A redirect is followed to the same host only.

    Args:
        to: after an error, it may have a part of them.
        largest: most bytes of it.
        url, night: as in ``get_page``.

    Raises:
        OriginError: as in ``get_page``.
    """

    def save(response: urllib3.BaseHTTPResponse) -> None:
        _check_page(response, html=None)
        for part in _parts(response, largest, "file", decoded=False):
            to.write(part)

    _received(url, conditions, FILE_S, night, lambda: None, save)


def _received(
    url: str,
    conditions: Conditions,
    most_s: float,
    night: int,
    waits: Callable[[], None],
    take: Callable[[urllib3.BaseHTTPResponse], T],
    document: bytes | None = None,
) -> T:
    """What is taken of the answer that is no redirect. ``document``: it is posted; None to get the URL."""
    if urlsplit(url).scheme not in _SCHEMES or host_of(url) is None:
        raise SchemeRefused("a page is asked for over http or https")
    limits = conditions.limits
    with Deadline(min(limits.total_s, most_s)) as deadline:
        dialer = Dialer(conditions.policy, deadline, limits.connect_s, limits.silence_s)
        turn = HostTurn(
            conditions.hosts, url, deadline, night, waits, conditions.hosts.api_logins, judged=document is not None
        )
        with turn.held(), origin_errors(dialer, Meter(0)):
            pool = open_pool(dialer, turn, conditions.user_agent)
            try:
                return _followed(pool, url, take) if document is None else _posted(pool, url, document, take)
            finally:
                pool.clear()
                deadline.hang_up()


def _followed(pool: urllib3.PoolManager, url: str, take: Callable[[urllib3.BaseHTTPResponse], T]) -> T:
    at = url
    for _ in range(REDIRECTS + 1):
        with _asked(pool, at) as response:
            location = response.get_redirect_location()
            if not location:
                return take(response)
        at = _same_host(url, urljoin(at, location))
    raise ProtocolError(f"more than {REDIRECTS} redirects in a row")


def _posted(pool: urllib3.PoolManager, url: str, document: bytes, take: Callable[[urllib3.BaseHTTPResponse], T]) -> T:
    with _asked(pool, url, document) as response:
        if response.get_redirect_location():
            raise ProtocolError("the server redirects what was posted")
        return take(response)


@contextmanager
def _asked(pool: urllib3.PoolManager, url: str, document: bytes | None = None) -> Iterator[urllib3.BaseHTTPResponse]:
    method, more = ("GET", {}) if document is None else ("POST", {"Content-Type": "application/json"})
    headers = {**pool.headers, **more}
    response = pool.request(method, url, body=document, headers=headers, redirect=False, preload_content=False)
    try:
        yield response
    finally:
        response.close()


def _same_host(url: str, target: str) -> str:
    """The target of a redirect. Another host would list what it likes as this forge's, within its own limits."""
    schemes = (urlsplit(url).scheme, "https")
    if host_of(target) != host_of(url) or urlsplit(target).scheme not in schemes:
        raise ProtocolError("the server redirects to another host, or from https to http")
    return target


def _page(response: urllib3.BaseHTTPResponse, largest: int, html: bytes | None) -> Page:
    _check_page(response, html)
    page = _read(response, largest)
    if html is not None and html not in page.body:
        check_wall_page(response.status, page.body)
        raise _for_people()
    return page


def _answer(response: urllib3.BaseHTTPResponse, largest: int, is_limit: Callable[[Page], bool]) -> Page:
    """A page that answers what was posted, with a limit told from other errors by what it says."""
    is_read = response.status in (200, FORBIDDEN) and content_type(response.headers.get("Content-Type") or "") != HTML
    page = _read(response, largest) if is_read else Page({}, b"")
    if is_read and is_limit(page):
        raise RateLimited(f"the server says {response.status}, and in the answer that we ask too much")
    _check_page(response, html=None)
    return page


def _read(response: urllib3.BaseHTTPResponse, largest: int) -> Page:
    body = b"".join(_parts(response, largest, "page", decoded=True))
    return Page({name.lower(): value for name, value in response.headers.items()}, body)


def _check_page(response: urllib3.BaseHTTPResponse, html: bytes | None) -> None:
    """Check all but the body."""
    kind = content_type(response.headers.get("Content-Type") or "")
    is_wanted = html is not None and kind == HTML and response.status == 200
    check_wall(cast("HTTPResponse", response), "" if is_wanted else kind)
    check_status(response.status, response.headers, "page")
    if html is None and kind == HTML:
        raise _for_people()


def _for_people() -> ProtocolError:
    return ProtocolError("the server sends a page for people")


def _parts(response: urllib3.BaseHTTPResponse, largest: int, what: str, *, decoded: bool) -> Iterator[bytes]:
    size = 0
    try:
        for part in response.stream(_PIECE, decode_content=decoded):
            size += len(part)
            if size > largest:
                raise LimitExceeded(f"the {what} exceeds {largest:,} bytes")
            yield part
    except urllib3.exceptions.DecodeError:
        raise ProtocolError(f"the {what} cannot be decompressed") from None
