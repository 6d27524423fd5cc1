"""urllib3's connections, opened by our dialer: where redirects may lead, when a request is sent, and when once more."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from socket import socket
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import parse_url
from urllib3.util.ssl_ import create_urllib3_context

from pipeline.git.errors import LedToKeptOut, ProtocolError
from pipeline.git.host_turn import HostTurn
from pipeline.git.network import Dialer
from pipeline.model.pattern import OptOuts, place_asked, place_of

REDIRECTS = 5
AS_GIT = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Cache-Control": "no-cache", "Pragma": "no-cache"}
"""Headers of git's own requests: hosts with a wall against bots let git pass by them."""

LONGEST_LOCATION = 2_048
"""Most characters of an address that a server redirects to."""


@cache
def trusted() -> SSLContext:
    """urllib3's own settings for TLS, with the system's authorities: loading these takes 20 ms of CPU.

    For one thread of a process: urllib3 changes them a little, always alike, at each connection.
    """
    context = create_urllib3_context()
    context.load_default_certs()
    return context


def open_pool(dialer: Dialer, turn: HostTurn, user_agent: str, kept_out: OptOuts | None = None) -> urllib3.PoolManager:
    """A pool for the conversations of one visit. None leads from its origin to a repository that is ``kept_out``."""

    class Plain(_Conversation, HTTPConnection):  # type: ignore[misc]
        scheme = "http"

        def _new_conn(self) -> socket:
            self.ask()
            return dialer.connect(self.host, self.port)

    class Tls(_Conversation, HTTPSConnection):  # type: ignore[misc]
        scheme = "https"

        def _new_conn(self) -> socket:
            self.ask()
            self.ssl_context = trusted()
            return dialer.connect(self.host, self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Pool(urllib3.PoolManager):
        def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as urllib3 has it
            """Also called for each redirect."""
            if kept_out:
                _check_kept_out(turn.url, url, kept_out)
            return super().urlopen(method, url, *args, **options)

    pool = Pool(
        headers={"User-Agent": user_agent, **AS_GIT},
        timeout=urllib3.Timeout(connect=dialer.connect_s, read=dialer.silence_s),
        retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=REDIRECTS),
    )
    Plain.turn = Tls.turn = turn
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return pool


class _Conversation(HTTPConnection if TYPE_CHECKING else object):  # type: ignore[misc]
    """Requests on one connection.

    A server may close a connection that it promised to keep, and we may notice only after we have sent the next
    request. Such a request was not answered, and only reads: it is sent once more, on a new connection, as curl does
    for git. Each time that it is sent, the host's limits allow it: a new connection asks for its first request.
    """

    turn: HostTurn
    scheme: str
    _again: Callable[[], None] | None = None
    _may_send = False

    def ask(self) -> None:
        """Wait until a request may be sent on this connection."""
        self.turn.ask(self.host, self.port)
        self._may_send = True

    def request(self, method: str, url: str, **options: Any) -> None:  # noqa: ANN401 - they are handed on
        login = self.turn.login(self.scheme, self.host, self.port)
        if login is not None:
            options["headers"] = {**options["headers"], "Authorization": login}
        send = partial(super().request, method, url, **options)
        self._again = None if self.sock is None else send
        if self.sock is not None and not self._may_send:
            self.ask()
        try:
            send()
        except ConnectionError:
            self._send_again()
        self._may_send = False

    def getresponse(self) -> urllib3.HTTPResponse:
        try:
            response = super().getresponse()
        except ConnectionError:  # RemoteDisconnected is one
            self._send_again()
            response = super().getresponse()
        self._again = None
        self.turn.heard(response.status, response.headers)
        return _undrained(_checked_redirect(response))

    def _send_again(self) -> None:
        """Repeat the request on a new connection, or re-raise the current exception."""
        again, self._again = self._again, None
        if again is None:
            raise  # noqa: PLE0704 - called by handlers only
        self.close()
        again()
        self._may_send = False


def _check_kept_out(url: str, to: str, kept_out: OptOuts) -> None:
    """Refuse to ask for anything of a repository that people keep out, however it is spelled. What was taken down is
    named in no visit, where `takedown --verify` would find it.
    """
    asked = parse_url(to)  # as urllib3 is about to do: what it reads there decides which host gets which path
    place = place_asked(f"{asked.scheme}://{asked.netloc or ''}{asked.path or ''}")
    if place != place_of(url) and kept_out.rule_at(place) is not None:
        raise LedToKeptOut("it redirects to what is opted out or taken down")


def _checked_redirect(response: urllib3.HTTPResponse) -> urllib3.HTTPResponse:
    """Refuse a redirect to something that is not an address, before anything parses it."""
    location = response.get_redirect_location()
    if location and (len(location) > LONGEST_LOCATION or not location.isprintable()):
        response.close()
        raise ProtocolError(f"the server redirects to {len(location):,} characters that are not an address")
    return response


def _undrained(response: urllib3.HTTPResponse) -> urllib3.HTTPResponse:
    """Hang up on the rest of a redirect: urllib3 would read it to its end, which may never come."""
    response.drain_conn = response.close  # type: ignore[method-assign]
    return response
