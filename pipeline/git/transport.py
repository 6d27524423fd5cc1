"""dulwich's clients with our connections, limits and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from dulwich.client import AbstractHttpGitClient, GitClient, TCPGitClient, Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.protocol import Protocol
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pipeline.errors import PipelineError
from pipeline.git.errors import (
    ConnectionFailed,
    ConnectionLost,
    DumbProtocolRefused,
    LimitExceeded,
    LoginRequired,
    OriginError,
    OriginTimeout,
    ProtocolError,
    RepositoryNotFound,
    SchemeRefused,
    ServerError,
)
from pipeline.git.network import Dialer

if TYPE_CHECKING:
    from dulwich.client import HTTPResponse

GIT_PORT = 9418
REDIRECTS = 5
FETCH_VERSION = 2


class Meter:
    """Counts what arrives before the pack, and stops a ref advertisement without end."""

    def __init__(self, origin: str, refs_bytes: int) -> None:
        self.origin, self.refs_bytes = origin, refs_bytes
        self.received = 0
        self.listing = True

    def wrap(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The same read function, counted; unlimited once ``listing`` is False."""

        def counted(size: int) -> bytes:
            data = read(size)
            if self.listing:
                self.received += len(data)
                if self.received > self.refs_bytes:
                    raise LimitExceeded(self.origin, f"the ref advertisement exceeds {self.refs_bytes} bytes")
            return data

        return counted


class _TcpClient(TCPGitClient):
    def __init__(self, host: str, port: int, dialer: Dialer, meter: Meter) -> None:
        super().__init__(host, port=port, thin_packs=False, quiet=True)
        self._dialer, self._meter = dialer, meter

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], None]:
        connection = self._dialer.connect(self._host, self._port)
        reader, writer = connection.makefile("rb"), connection.makefile("wb", 0)

        def close() -> None:
            reader.close()
            writer.close()
            connection.close()

        protocol = Protocol(self._meter.wrap(reader.read), writer.write, close)
        if isinstance(path, str):
            path = path.encode()
        self.protocol_version = FETCH_VERSION
        try:
            protocol.send_cmd(b"git-" + cmd, path, b"host=%s\0\0version=%d\0" % (self._host.encode(), FETCH_VERSION))
        except BaseException:
            protocol.close()
            raise
        return protocol, lambda: False, None


class _HttpClient(Urllib3HttpGitClient):
    def __init__(self, url: str, pool: urllib3.PoolManager, meter: Meter) -> None:
        super().__init__(url, pool_manager=pool, thin_packs=False, quiet=True)
        self._meter = meter

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        response, read = super()._http_request(url, headers, data, raise_for_status=False)
        try:
            _check_answer(self._meter.origin, response)
        except OriginError:
            response.close()
            raise
        return response, self._meter.wrap(read)


def _check_answer(origin: str, response: HTTPResponse) -> None:
    status, kind = response.status, response.headers.get("Content-Type") or ""
    if status in (404, 410):
        raise RepositoryNotFound(origin, f"the server says {status}, there is no such repository")
    if status in (401, 403, 407):
        raise LoginRequired(origin, f"the server says {status}, it wants a login")
    if status == 429 or status >= 500:
        raise ServerError(origin, f"the server says {status}")
    if status != 200:
        raise ProtocolError(origin, f"the server says {status}")
    if not kind.startswith("application/x-git-"):
        if kind.startswith("text/plain"):
            raise DumbProtocolRefused(origin, "the server only serves files (the dumb protocol)")
        raise ProtocolError(origin, f"this is no git server: it sends {kind or 'no content type'}")


def open_client(url: str, dialer: Dialer, meter: Meter, user_agent: str) -> tuple[GitClient, str]:
    """A client for one visit, and the path to ask it for.

    Raises:
        SchemeRefused: not git, http or https.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise SchemeRefused(url, "the URL has no host")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "git":
        return _TcpClient(parts.hostname, parts.port or GIT_PORT, dialer, meter), path
    if parts.scheme in ("http", "https"):
        return _HttpClient(f"{parts.scheme}://{parts.netloc}", _pool(dialer, user_agent), meter), path
    raise SchemeRefused(url, f"{parts.scheme}:// is not fetched from, only git, http and https")


def _pool(dialer: Dialer, user_agent: str) -> urllib3.PoolManager:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket:
            return dialer.connect(self.host, self.port)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket:
            return dialer.connect(self.host, self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    pool = urllib3.PoolManager(
        headers={"User-Agent": user_agent},
        timeout=urllib3.Timeout(connect=dialer.connect_s, read=dialer.silence_s),
        retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=REDIRECTS),
    )
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return pool


def close_client(client: GitClient) -> None:
    """Close what a client keeps open between requests."""
    if isinstance(client, Urllib3HttpGitClient):
        client.pool_manager.clear()


def is_dumb(client: GitClient) -> bool:
    """Whether the server turned out to serve files only."""
    return isinstance(client, AbstractHttpGitClient) and bool(client.dumb)


@contextmanager
def origin_errors(dialer: Dialer) -> Iterator[None]:
    """Turn whatever dulwich, urllib3 or the socket raise into one OriginError."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        dialer.deadline.check()
        raise _classify(dialer, error) from error


def _classify(dialer: Dialer, error: BaseException) -> OriginError:
    origin = dialer.origin
    known: OriginError | None = None
    for cause in _causes(error):
        if isinstance(cause, OriginError):
            return cause
        if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
            known = OriginTimeout(origin, f"the server was silent for {dialer.silence_s:g} s")
        elif isinstance(cause, urllib3.exceptions.SSLError):
            known = ConnectionFailed(origin, f"TLS failed ({cause})")
        elif isinstance(cause, NotGitRepository):
            known = RepositoryNotFound(origin, "there is no such repository")
        elif isinstance(cause, HangupException | ConnectionError | urllib3.exceptions.ProtocolError | EOFError):
            known = ConnectionLost(origin, "the server closed the connection before it was done")
    if known is not None:
        return known
    text = str(error)
    if isinstance(error, GitProtocolError) and ("not exported" in text or "not found" in text.lower()):
        return RepositoryNotFound(origin, f"the server says: {text}")
    return ProtocolError(origin, f"the server does not speak git's protocol ({type(error).__name__}: {text[:200]})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            todo += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
