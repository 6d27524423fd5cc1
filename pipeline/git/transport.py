"""dulwich's clients with our connections, limits and errors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import urllib3
from dulwich.client import TCPGitClient, Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.protocol import Protocol, pkt_line
from dulwich.refs import Ref

from pipeline.git.conditions import Conditions
from pipeline.git.errors import (
    BlockedLegal,
    Challenged,
    ConnectionFailed,
    ConnectionLost,
    DumbProtocolRefused,
    LimitExceeded,
    LoginRequired,
    OriginError,
    OriginTimeout,
    ProtocolError,
    RateLimited,
    RepositoryNotFound,
    SchemeRefused,
    ServerError,
)
from pipeline.git.host_turn import HostTurn
from pipeline.git.http_pool import REDIRECTS, open_pool
from pipeline.git.network import Dialer
from pipeline.model.errors import PipelineError
from pipeline.model.origin import is_fetched
from pipeline.model.pattern import place_of
from pipeline.model.redact import one_line
from pipeline.rules.asked_wait import asked_wait, is_limit
from pipeline.rules.negotiation import PEELED

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse

GIT_PORT = 9418
FETCH_VERSION = 2
FILE_TYPES = ("text/plain", "application/octet-stream", "binary/octet-stream")
ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
FLUSH, DELIMITER = b"0000", b"0001"
FETCH_COMMAND, OFS_DELTA = b"command=fetch\n", b"ofs-delta\n"
SPACE = 0x20
SIDE_BAND_FATAL = b"\3"
_QUOTE = re.compile(r"\bb?['\"]|['\"(:]|\bhttps?\b")
_MEANINGS: tuple[tuple[type[OriginError], tuple[str, ...]], ...] = (
    (RepositoryNotFound, ("not exported", "not found", "no such", "does not exist")),
    (RateLimited, ("temporarily limiting", "rate limit", "too many requests")),
)
_MOVED_FOR_GOOD = (301, 308)
HTML = "text/html"
"""The content type of pages for people."""

END_S = 1.0
"""Seconds in which the end of an answer must come once git has said all."""

_REQUEST_BYTES = 1 << 16
"""Of a request over git:// that is sent in one piece: more than a thousand ids."""

_PAGE_BYTES = 32_768
"""Most bytes of a page that are searched for a sign of a wall against bots."""

_WALLS = re.compile(
    rb"making sure you(?:'|&#39;|\xe2\x80\x99)re not a bot|anubis_challenge|<title>just a moment\.\.\.|_cf_chl_opt"
    rb"|checking your browser before|ddos-guard|/\.within\.website/",
    re.IGNORECASE,
)
_WALL_HEADERS = (("cf-mitigated", "challenge"), ("x-amzn-waf-action", "challenge"), ("x-amzn-waf-action", "captcha"))
SHOWN_OF_MESSAGE = 200
"""Most characters of a server's message that our own messages show."""


class Meter:
    """Watches what arrives: stops a server that talks on without sending a pack, and finds its error messages."""

    def __init__(self, refs_bytes: int) -> None:
        self.refs_bytes = refs_bytes
        self.listing = True
        self.cut_short = False
        self._idle_bytes = 0
        self._expects_line = False

    def packed(self) -> None:
        """Part of the pack has arrived; its length is limited elsewhere."""
        self._idle_bytes = 0

    def wrap(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The read function, watched. It is asked for four digits of length, then for that many bytes."""

        def watched(size: int) -> bytes:
            data = read(size)
            self.cut_short = len(data) < size
            self._idle_bytes += len(data)
            if self._idle_bytes > self.refs_bytes:
                what = "the ref advertisement exceeds" if self.listing else "no pack after"
                raise LimitExceeded(f"{what} {self.refs_bytes} bytes")
            if self._expects_line and data.startswith((b"ERR ", SIDE_BAND_FATAL)):
                raise _said(data.removeprefix(b"ERR ").removeprefix(SIDE_BAND_FATAL))
            self._expects_line = size == len(FLUSH)
            return data

        return watched


def _said(message: bytes) -> OriginError:
    text = _plain(message.decode(errors="replace"))
    said = text.lower()
    meaning = next((kind for kind, words in _MEANINGS if any(some in said for some in words)), ServerError)
    return meaning(f"the server says: {text}")


def _plain(text: str) -> str:
    """Text from outside, made safe for a table and a terminal."""
    return one_line(text, SHOWN_OF_MESSAGE)


class _Protocol(Protocol):
    """Asks a server of version 2 for deltas by offset: dulwich does not, and each id costs 20 bytes twice."""

    _fetching = False

    def write_pkt_line(self, line: bytes | None) -> None:
        if self._fetching and line is not None and line.startswith(b"want "):
            self._fetching = False
            super().write_pkt_line(OFS_DELTA)
        self._fetching |= line == FETCH_COMMAND
        super().write_pkt_line(line)


class _TcpClient(TCPGitClient):
    moved_to: str | None = None

    def __init__(self, host: str, port: int, dialer: Dialer, turn: HostTurn, meter: Meter) -> None:
        super().__init__(host, port=port, thin_packs=False, quiet=True)
        self._dialer, self._turn, self._meter = dialer, turn, meter
        self._open: Protocol | None = None

    def close(self) -> None:
        """Hang up: dulwich does not if the first line is missing."""
        if self._open is not None:
            self._open.close()

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], None]:
        self._turn.ask(self._host, self._port)
        connection = self._dialer.connect(self._host, self._port)
        reader, writer = connection.makefile("rb"), connection.makefile("wb", _REQUEST_BYTES)

        def answer(size: int) -> bytes:
            with suppress(ConnectionError):  # a server that has hung up may have said why
                writer.flush()
            return reader.read(size)

        def close() -> None:
            reader.close()
            with suppress(OSError):  # it need not hear that this is all
                writer.close()
            connection.close()

        read = self._turn.heard_with(answer)
        self._open = protocol = _Protocol(self._meter.wrap(read), writer.write, close)
        if isinstance(path, str):
            path = path.encode()
        self.protocol_version = FETCH_VERSION
        protocol.send_cmd(b"git-" + cmd, path, b"host=%s\0\0version=%d\0" % (self._host.encode(), FETCH_VERSION))
        return protocol, lambda: False, None


class _HttpClient(Urllib3HttpGitClient):
    """``moved_to`` is where permanent redirects have led, None for nowhere else."""

    def __init__(self, url: str, pool: urllib3.PoolManager, meter: Meter) -> None:
        super().__init__(url, pool_manager=pool, thin_packs=False, quiet=True)
        self._meter = meter
        self.moved_to: str | None = None
        self._responses: list[HTTPResponse] = []

    def close(self) -> None:
        """Hang up, even if something is left to read: dulwich leaves some responses open."""
        for response in self._responses:
            type(response).close(response)
        self.pool_manager.clear()

    def _discover_references(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as dulwich has it
        """Refs, and beside them what annotated tags point at, which ``fetch_pack`` leaves out."""
        found = super()._discover_references(*args, **options)
        refs, peeled = found[0], found[-1]
        refs.update((Ref(name + PEELED), target) for name, target in peeled.items())
        return found

    def _smart_request(
        self, service: str, url: str, data: bytes | Iterator[bytes] | None
    ) -> tuple[Any, Callable[[int], bytes]]:
        if isinstance(data, bytes) and pkt_line(FETCH_COMMAND) in data:
            data = data.replace(DELIMITER, DELIMITER + pkt_line(OFS_DELTA), 1)
        return super()._smart_request(service, url, data)

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        if data is None and not self._meter.listing:
            raise ProtocolError("the server sends addresses of packs instead of a pack")
        self._free_connection()
        response, read = super()._http_request(url, headers, data, raise_for_status=False)
        self._responses.append(response)
        response.close = _leave_open  # type: ignore[method-assign]
        kind = content_type(response.headers.get("Content-Type") or "")
        if data is None:
            check_wall(response, kind)
        check_status(response.status, response.headers)
        if data is None:
            self.moved_to = _moved_to(url, response)
            _check_advertised(kind)
            response.content_type = kind
        else:
            response.content_type = (headers or {}).get("Accept")  # dulwich insists on it; git ignores it
        return response, self._meter.wrap(read)

    def _free_connection(self) -> None:
        """Read the end of the last answer, if only that is left, so that the next request need not connect anew.

        dulwich stops at the end of what git says, before the empty chunk that ends a body in chunks. Where that is not
        there in a moment, a new connection is the lesser evil.
        """
        connection = cast(urllib3.HTTPResponse, self._responses[-1]).connection if self._responses else None
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(END_S)  # urllib3 sets it for each request
            with suppress(urllib3.exceptions.HTTPError, OSError):
                self._responses[-1].read(1)


def _leave_open() -> None:
    """Stands for an answer's ``close``: dulwich would hang up before its end."""


def content_type(header: str) -> str:
    """The type in a Content-Type header, as git compares it: without parameters and blanks, in lower case."""
    return "".join(header.partition(";")[0].split()).lower()


def check_wall(response: HTTPResponse, kind: str) -> None:
    """Look for a page that tells people from programs.

    Raises:
        Challenged: this is one.
    """
    headers, status = response.headers, response.status
    if any(headers.get(name, "").lower() == value for name, value in _WALL_HEADERS):
        raise _challenged(status)
    if kind == HTML and status in (200, 202, 403, 429, 503):
        with suppress(urllib3.exceptions.HTTPError):
            check_wall_page(status, response.read(_PAGE_BYTES))


def check_wall_page(status: int, body: bytes) -> None:
    """The same for a page of HTML that has been read.

    Raises:
        Challenged: this is one.
    """
    if _WALLS.search(body, 0, _PAGE_BYTES):
        raise _challenged(status)


def _challenged(status: int) -> Challenged:
    return Challenged(f"the server says {status} and wants to see a person at a browser")


def _moved_to(url: str, response: HTTPResponse) -> str | None:
    """The URL of the repository that permanent redirects from this address have led to, if it is another one."""
    retries: urllib3.Retry | None = getattr(response, "retries", None)
    history = retries.history if retries is not None else ()
    if not history or any(step.status not in _MOVED_FOR_GOOD for step in history):
        return None
    to = url
    for step in history:
        to = urljoin(to, step.redirect_location or "")
    asked, found = (address.partition("/info/refs")[0] for address in (url, to))
    return None if place_of(found) == place_of(asked) else found


def check_status(status: int, headers: Mapping[str, str], what: str = "repository") -> None:
    """Judge an HTTP status.

    Args:
        what: what was asked for, for the message.

    Raises:
        RateLimited, BlockedLegal, RepositoryNotFound, LoginRequired, ServerError, ProtocolError: as they say.
    """
    if is_limit(status, asked_wait(headers, time.time())):
        raise RateLimited(f"the server says {status}, we ask too much")
    if status == 451:
        raise BlockedLegal(f"the server says 451, the {what} is withheld for legal reasons")
    if status in (404, 410):
        raise RepositoryNotFound(f"the server says {status}, there is no such {what}")
    if status in (401, 403, 407):
        raise LoginRequired(f"the server says {status}, it wants a login")
    if status >= 500:
        raise ServerError(f"the server says {status}")
    if status != 200:
        raise ProtocolError(f"the server says {status}")


def _check_advertised(kind: str) -> None:
    """Check the type: git accepts no other for a smart server's list of refs."""
    if kind != ADVERTISEMENT:
        if kind in FILE_TYPES:
            raise DumbProtocolRefused("the server only serves files (the dumb protocol)")
        raise ProtocolError(f"this is not a git server: it sends {_plain(kind) or 'no content type'}")


def open_client(
    dialer: Dialer, turn: HostTurn, meter: Meter, conditions: Conditions
) -> tuple[_TcpClient | _HttpClient, str | bytes]:
    """A client for one visit, which the caller closes, and the path to request from it.

    Raises:
        SchemeRefused: not a git, http or https URL with a host.
    """
    try:
        parts = urlsplit(turn.url)
        port = parts.port
    except ValueError:
        raise SchemeRefused("this is not a URL, or its port is invalid") from None
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if not is_fetched(turn.url):
        raise _scheme_refused(parts.scheme)
    if not parts.hostname:
        raise SchemeRefused("the URL has no host")
    if parts.scheme == "git":
        decoded = unquote_to_bytes(path)
        if any(byte < SPACE for byte in decoded):
            raise SchemeRefused("the URL's path has a control character")
        return _TcpClient(parts.hostname, port or GIT_PORT, dialer, turn, meter), decoded
    pool = open_pool(dialer, turn, conditions.user_agent, conditions.kept_out)
    return _HttpClient(f"{parts.scheme}://{parts.netloc}", pool, meter), path


def _scheme_refused(scheme: str) -> SchemeRefused:
    found = f"{scheme}:// is not fetched from" if scheme else "a path is not fetched from"
    return SchemeRefused(f"{found}, only git, http and https are")


@contextmanager
def origin_errors(dialer: Dialer, meter: Meter) -> Iterator[None]:
    """Turn any exception of dulwich, urllib3 or the socket into one OriginError."""
    try:
        yield
    except ProtocolError:
        dialer.deadline.check()  # a conversation cut off by it does not look like git's protocol
        raise
    except (PipelineError, MemoryError):
        raise
    except Exception as error:
        dialer.deadline.check()
        raise _classify(dialer, meter, error) from error


def _classify(dialer: Dialer, meter: Meter, error: BaseException) -> OriginError:
    """The most specific meaning of an exception and its causes; a lost connection is the least specific."""
    found = [meaning for cause in _causes(error) if (meaning := _meaning(dialer, cause)) is not None]
    for meaning in found:
        if not isinstance(meaning, ConnectionLost):
            return meaning
    if found or meter.cut_short:
        return ConnectionLost("the server closed the connection before it was done")
    text = f": {_unquoted(str(error))}" if isinstance(error, GitProtocolError) else ""
    why = f"the server does not speak git's protocol ({type(error).__name__}{text})"
    return ProtocolError(why)


def _unquoted(text: str) -> str:
    """dulwich's message up to the first text that it quotes from the server: that may be anything."""
    return _plain(_QUOTE.split(text, maxsplit=1)[0])


def _meaning(dialer: Dialer, cause: BaseException) -> OriginError | None:
    found = None
    match cause:
        case OriginError():
            found = cause
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            found = OriginTimeout(f"the server was silent for {dialer.silence_s:g} s")
        case urllib3.exceptions.SSLError():
            found = ConnectionFailed(f"TLS failed ({_plain(str(cause))})")
        case NotGitRepository():
            found = RepositoryNotFound("there is no such repository")
        case urllib3.exceptions.URLSchemeUnknown():
            found = _scheme_refused(_plain(cause.scheme))
        case urllib3.exceptions.ResponseError():
            found = ProtocolError(f"more than {REDIRECTS} redirects in a row")
        case HangupException() | ConnectionError() | EOFError() | IncompleteRead() | urllib3.exceptions.ProtocolError():
            found = ConnectionLost("")
        case HTTPException():
            found = ProtocolError(f"the server does not speak HTTP ({type(cause).__name__})")
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
