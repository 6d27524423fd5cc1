"""What can go wrong with one origin. Each error has the status and the short stable code of the visit it ends."""

from __future__ import annotations

from typing import ClassVar

from pipeline.model.errors import PipelineError
from pipeline.model.redact import one_line
from pipeline.model.visit import LOGIN_REQUIRED, VisitStatus


class OriginError(PipelineError):
    """A visit that did not end well. ``code`` goes into ``visits.error``, ``why`` into ``visits.detail``.

    It does not name the origin: whoever asked one catches the error, and knows whom. ``why`` is always one printable
    line of at most 500 characters without a URL's secrets. ``status`` decides when the origin is visited again
    (``rules.origins``); a failed visit is not repeated within its load.
    """

    status: ClassVar[VisitStatus] = VisitStatus.FAILED
    code: ClassVar[str] = "failed"

    def __init__(self, why: str) -> None:
        self.why = one_line(why)
        super().__init__(self.why)


class UnknownHost(OriginError):
    """The host name does not resolve."""

    code = "unknown_host"


class ConnectionFailed(OriginError):
    """Nobody listens, the network is unreachable, or TLS failed."""

    code = "connection_failed"


class OriginTimeout(OriginError):
    """A time limit was reached: for connecting, for silence, or for the whole visit."""

    code = "timeout"


class ConnectionLost(OriginError):
    """The server closed or reset the connection before it was done."""

    code = "connection_lost"


class ServerError(OriginError):
    """The server answered, but with an error of its own (HTTP 5xx, or an ERR line)."""

    code = "server_error"


class RateLimited(OriginError):
    """The host says that we ask too much (HTTP 429, a 403 with a time to wait, or an ERR line that says so)."""

    status = VisitStatus.DEFERRED
    code = "rate_limited"


class HostClosed(OriginError):
    """The host is left alone for a while, so the origin was not asked, or not for its pack."""

    status = VisitStatus.DEFERRED
    code = "host_closed"


class RequestsSpent(OriginError):
    """The configured number of requests a night to this host is used up, so the origin was not asked."""

    status = VisitStatus.DEFERRED
    code = "requests_spent"


class BlockedLegal(OriginError):
    """The server withholds the repository for legal reasons (HTTP 451)."""

    status = VisitStatus.REFUSED
    code = "blocked_legal"


class Challenged(OriginError):
    """Instead of the repository there is a page that wants to see a person at a browser. It is not evaded."""

    status = VisitStatus.REFUSED
    code = "challenged"


class RepositoryNotFound(OriginError):
    """The server says that there is no such repository."""

    status = VisitStatus.NOT_FOUND
    code = "not_found"


class LoginRequired(OriginError):
    """The server wants a login, which we do not have."""

    status = VisitStatus.REFUSED
    code = LOGIN_REQUIRED


class AddressRefused(OriginError):
    """The URL, or a redirect, leads to an address that the configuration does not allow."""

    status = VisitStatus.REFUSED
    code = "address_refused"


class LedToKeptOut(OriginError):
    """A redirect leads to a repository that people keep out for good."""

    status = VisitStatus.REFUSED
    code = "opted_out"


class SchemeRefused(OriginError):
    """The URL has a scheme that we do not fetch from."""

    status = VisitStatus.REFUSED
    code = "scheme_refused"


class ObjectFormatRefused(OriginError):
    """The repository does not use SHA-1 ids."""

    status = VisitStatus.REFUSED
    code = "object_format"


class DumbProtocolRefused(OriginError):
    """The server only serves files, which cannot be fetched within limits."""

    status = VisitStatus.REFUSED
    code = "dumb_protocol"


class ProtocolError(OriginError):
    """What the server sent is not git's protocol."""

    code = "protocol"


class PackCorrupt(OriginError):
    """The pack is damaged: checksum, structure, compression or a delta."""

    code = "pack_corrupt"


class BasesMissing(PackCorrupt):
    """Deltas name bases that are neither in the pack nor in the archive; a request without offers may help."""

    code = "bases_missing"


class PackIncomplete(OriginError):
    """The pack lacks objects that its own objects or the refs name."""

    code = "pack_incomplete"


class LimitExceeded(OriginError):
    """A size limit of the configuration was reached."""

    code = "limit_exceeded"
