"""Origins, and the two numbers that place everything they bring: network and bucket."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import UsageError

SCHEMES = ("git", "http", "https")


class BadOriginUrl(UsageError):
    """The URL can not be an origin."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why

    def __str__(self) -> str:
        return f"{self.url}: {self.why}"


class OriginState(StrEnum):
    """Whether an origin is looked at: ``active`` and ``gone`` ones are, the others are not."""

    ACTIVE = "active"
    PAUSED = "paused"
    OPTED_OUT = "opted_out"
    GONE = "gone"


def check_url(url: str) -> str:
    """Return the URL as it is stored: scheme and host in lower case, no fragment, no trailing slash.

    Raises:
        BadOriginUrl: not a git://, http:// or https:// URL with a host and a path, or one that carries a user name or
            password: those would end up in tables and logs.
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise BadOriginUrl(_hide_user(url), f"the scheme must be one of {', '.join(SCHEMES)}")
    if parts.username is not None or parts.password is not None:
        raise BadOriginUrl(_hide_user(url), "user names and passwords do not belong in an origin's URL")
    if not parts.hostname:
        raise BadOriginUrl(url, "there is no host")
    if any(ch.isspace() or not ch.isprintable() for ch in url.strip()):
        raise BadOriginUrl(url, "there is white space or a control character inside")
    try:
        port = parts.port
    except ValueError:
        raise BadOriginUrl(url, "the port is not a number from 0 to 65535") from None
    path = parts.path.rstrip("/")
    if not path:
        raise BadOriginUrl(url, "there is no path to a repository")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urlunsplit((scheme, host if port is None else f"{host}:{port}", path, parts.query, ""))


def _hide_user(url: str) -> str:
    head, at, tail = url.partition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else url


def network_id(root_url: str) -> int:
    """The network of a fork root: the top 63 bits of the SHA-256 of its stored URL, so that it is never negative."""
    return int.from_bytes(hashlib.sha256(root_url.encode()).digest()[:8], "big") >> 1


def bucket_of(network: int, buckets: int) -> int:
    """The bucket of a network, 0 to ``buckets - 1``."""
    return network % buckets


@dataclass(frozen=True, slots=True)
class Origin:
    """A clone URL that we archive. ``fork_of`` is the stored URL of the fork root, None for a root itself."""

    url: str
    fork_of: str | None = None

    @property
    def network(self) -> int:
        """The network it belongs to, fixed when it is added."""
        return network_id(self.fork_of or self.url)
