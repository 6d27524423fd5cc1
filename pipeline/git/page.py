"""One page over HTTP, asked for as visits ask: by the same dialer, within the limits of the host, with its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin, urlsplit

import urllib3

from pipeline.git.conditions import Conditions
from pipeline.git.errors import LimitExceeded, ProtocolError, SchemeRefused
from pipeline.git.host_turn import HostTurn
from pipeline.git.http_pool import REDIRECTS, open_pool
from pipeline.git.network import Deadline, Dialer
from pipeline.git.transport import HTML, Meter, check_status, check_wall, check_wall_page, content_type, origin_errors
from pipeline.model.host import host_of
from pipeline.model.page import Page

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse

PAGE_S = 300.0
"""Most seconds that a page may take, waits for the host's turn not counted."""

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
        OriginError: one of its subclasses, whatever the server did; its ``origin`` is the URL.
    """
    if urlsplit(url).scheme not in _SCHEMES or host_of(url) is None:
        raise SchemeRefused(url, "a page is asked for over http or https")
    limits = conditions.limits
    with Deadline(url, min(limits.total_s, PAGE_S)) as deadline:
        dialer = Dialer(url, conditions.policy, deadline, limits.connect_s, limits.silence_s)
        turn = HostTurn(conditions.hosts, url, deadline, night, waits, conditions.hosts.api_logins)
        with turn.held(), origin_errors(dialer, Meter(url, 0)):
            pool = open_pool(dialer, turn, conditions.user_agent)
            try:
                return _received(pool, url, largest, html)
            finally:
                pool.clear()
                deadline.hang_up()


def _received(pool: urllib3.PoolManager, url: str, largest: int, html: bytes | None) -> Page:
    at = url
    for _ in range(REDIRECTS + 1):
        with _asked(pool, at) as response:
            location = response.get_redirect_location()
            if not location:
                return _page(url, response, largest, html)
        at = _same_host(url, urljoin(at, location))
    raise ProtocolError(url, f"more than {REDIRECTS} redirects in a row")


@contextmanager
def _asked(pool: urllib3.PoolManager, url: str) -> Iterator[urllib3.BaseHTTPResponse]:
    response = pool.request("GET", url, redirect=False, preload_content=False)
    try:
        yield response
    finally:
        response.close()


def _same_host(url: str, target: str) -> str:
    """The target of a redirect. Another host would list what it likes as this forge's, within its own limits."""
    schemes = (urlsplit(url).scheme, "https")
    if host_of(target) != host_of(url) or urlsplit(target).scheme not in schemes:
        raise ProtocolError(url, "the server redirects to another host, or from https to http")
    return target


def _page(url: str, response: urllib3.BaseHTTPResponse, largest: int, html: bytes | None) -> Page:
    kind = content_type(response.headers.get("Content-Type") or "")
    is_wanted = html is not None and kind == HTML and response.status == 200
    check_wall(url, cast("HTTPResponse", response), "" if is_wanted else kind)
    check_status(url, response.status, response.headers, "page")
    if html is None and kind == HTML:
        raise _for_people(url)
    body = _body(url, response, largest)
    if html is not None and html not in body:
        check_wall_page(url, response.status, body)
        raise _for_people(url)
    return Page({name.lower(): value for name, value in response.headers.items()}, body)


def _for_people(url: str) -> ProtocolError:
    return ProtocolError(url, "the server sends a page for people")


def _body(url: str, response: urllib3.BaseHTTPResponse, largest: int) -> bytes:
    parts, size = [], 0
    try:
        for part in response.stream(_PIECE, decode_content=True):
            size += len(part)
            if size > largest:
                raise LimitExceeded(url, f"the page exceeds {largest:,} bytes")
            parts.append(part)
    except urllib3.exceptions.DecodeError:
        raise ProtocolError(url, "the page cannot be decompressed") from None
    return b"".join(parts)
