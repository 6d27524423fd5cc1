"""Origins, and the two numbers that place everything they bring: network and bucket."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import UsageError

FETCHED_SCHEMES = ("git", "http", "https")
"""A visit to an origin of any other scheme ends as refused."""


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

    The scheme may be one that is never fetched from, such as file or ssh: its visits tell.

    Raises:
        BadOriginUrl: not a URL with a scheme, a host (file:// needs none) and a path, or one that carries a password,
            or a user name other than ssh's: those would end up in tables and logs.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError as error:
        raise BadOriginUrl(_hide_user(url), str(error)) from None
    scheme = parts.scheme.lower()
    if not scheme or not url.strip()[len(scheme) :].startswith("://"):
        raise BadOriginUrl(_hide_user(url), "this is not a URL such as https://host/path")
    if parts.password is not None or (parts.username is not None and scheme != "ssh"):
        raise BadOriginUrl(_hide_user(url), "user names and passwords do not belong in an origin's URL")
    if not parts.hostname and scheme != "file":
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
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    user = "" if parts.username is None else f"{parts.username}@"
    return urlunsplit((scheme, user + (place if port is None else f"{place}:{port}"), path, parts.query, ""))


def is_fetched(url: str) -> bool:
    """Whether origins of the URL's scheme are fetched from at all."""
    return urlsplit(url).scheme in FETCHED_SCHEMES


def _hide_user(url: str) -> str:
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    _, at, place = rest.rpartition("@")
    return f"{scheme}{separator}***@{place}" if at else url


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
