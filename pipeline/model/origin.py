"""Origins, and the two numbers that place all their objects: network and bucket."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from urllib.parse import unquote, urlsplit

from pipeline.model.errors import UsageError
from pipeline.model.redact import has_secret_shape, is_secret_name

FETCHED_SCHEMES = ("git", "http", "https")
"""Schemes that are fetched from. A visit to an origin with any other scheme ends as refused."""


LONGEST_URL = 2_048
"""Most characters of an origin's URL."""

LONGEST_HOST, LAST_PORT = 253, 65_535

_START = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"[\w.-]*")
_AUTHORITY = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>\[[0-9A-Fa-f:.]*\]|[\w.-]*)(?::(?P<port>[0-9]{0,5}))?(?=[/?#]|$)"
)


class BadOriginUrl(UsageError):
    """The URL cannot be an origin.

    ``place`` is its scheme and host if both could be read without doubt, else "". No other part is kept here or shown:
    any part of a URL that cannot be read may be a password.
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(place, why)
        self.place, self.why = place, why

    def __str__(self) -> str:
        return f"{self.place or 'the URL (not shown: it may hold a password)'}: {self.why}"


class OriginState(StrEnum):
    """Whether an origin is visited: ``active`` and ``gone`` ones are, the others are not."""

    ACTIVE = "active"
    PAUSED = "paused"
    OPTED_OUT = "opted_out"
    GONE = "gone"


def check_url(url: str) -> str:
    """Return the URL as it is stored: scheme and host in lower case, no fragment, no trailing slash.

    The scheme may be one that is never fetched from, such as file or ssh: its visits end as refused.

    Raises:
        BadOriginUrl: not a URL with a scheme, a host (file:// needs none) and a path, or one that may contain a login:
            a user name other than ssh's, a password, an access token. These would end up in tables and logs.
    """
    text = url.strip()
    _refuse_odd_characters(text)
    start = _START.match(text)
    if start is None:
        raise BadOriginUrl("", "this is not a URL such as https://host/path")
    scheme = start[1].lower()
    authority = _authority(text, start.end(), scheme)
    _refuse_secrets(text[authority.end() :])
    host = authority["host"].lower()
    if not host and scheme != "file":
        raise BadOriginUrl("", "it has no host")
    place = f"{scheme}://{host}"
    rest, _, _ = text[authority.end() :].partition("#")
    path, _, query = rest.partition("?")
    path = path.rstrip("/")
    if not path:
        raise BadOriginUrl(place, "there is no path to a repository")
    user = f"{authority['user']}@" if authority["user"] else ""
    port = f":{int(authority['port'])}" if authority["port"] else ""
    return f"{scheme}://{user}{host}{port}{path}" + (f"?{query}" if query else "")


def _refuse_odd_characters(text: str) -> None:
    """Comes first: ``urlsplit``, and others after us, drop line ends silently and take backslashes for slashes."""
    if len(text) > LONGEST_URL:
        raise BadOriginUrl("", f"it has {len(text):,} characters, {LONGEST_URL:,} are allowed")
    if any(ch.isspace() or not ch.isprintable() for ch in text):
        raise BadOriginUrl("", "it contains white space or a control character")
    if "\\" in text:
        raise BadOriginUrl("", "it contains a backslash")
    plain = unicodedata.normalize("NFKC", text)
    if any(plain.count(mark) != text.count(mark) for mark in "@\\"):
        raise BadOriginUrl("", "it contains what looks like the end of a user name; write %40 for an @ in a path")


def _authority(text: str, begins: int, scheme: str) -> re.Match[str]:
    """User, host and port, all of them plain; an @ anywhere else is taken for the end of a password."""
    found = _AUTHORITY.match(text, begins)
    ends = begins if found is None else found.end()
    user = None if found is None else found["user"]
    if "@" in text[ends:] or (user is not None and scheme != "ssh") or has_secret_shape(text):
        raise BadOriginUrl(
            "", "user names and passwords do not belong in an origin's URL; write %40 for an @ in a path"
        )
    if found is None:
        raise BadOriginUrl("", _why_no_authority(re.split(r"[/?#]", text[begins:], maxsplit=1)[0]))
    _check_host(found["host"])
    if found["port"] and int(found["port"]) > LAST_PORT:
        raise BadOriginUrl("", "the port is not a number from 0 to 65535")
    return found


def _check_host(host: str) -> None:
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            raise BadOriginUrl("", "the text in brackets is not an IPv6 address") from None
        return
    stored = host.lower()
    plain = _NAME.fullmatch(stored) is not None and all(unicodedata.normalize("NFKC", h) == h for h in (host, stored))
    if len(host) > LONGEST_HOST or not plain:
        raise BadOriginUrl("", f"the host is longer than {LONGEST_HOST} characters, or not in its plain spelling")


def _why_no_authority(authority: str) -> str:
    if "[" in authority or "]" in authority:
        return "the text in brackets is not an IPv6 address, or it has a zone"
    if ":" in authority:
        return "the port is not a number from 0 to 65535"
    return "a host may only contain letters, digits, dots and hyphens"


def _refuse_secrets(rest: str) -> None:
    """Look for a login after the host, however often it was percent-encoded."""
    plain = unicodedata.normalize("NFKC", decoded(rest))
    if re.search(r":[^@]*@", plain) or has_secret_shape(plain):
        raise BadOriginUrl("", "user names and passwords do not belong in an origin's URL")
    path, _, query = plain.partition("#")[0].partition("?")
    parameters = [part for part in re.split(r"[&;]", path)[1:] if "=" in part] + re.split(r"[?&;]", query)
    for parameter in parameters:
        if is_secret_name(parameter.partition("=")[0]):
            raise BadOriginUrl("", "a parameter contains a login, which does not belong in an origin's URL")


def decoded(text: str) -> str:
    """Without percent signs, however often the text was encoded."""
    while (once := unquote(text)) != text:
        text = once
    return text


def is_fetched(url: str) -> bool:
    """Whether the URL's scheme is one that is fetched from."""
    return urlsplit(url).scheme in FETCHED_SCHEMES


def network_id(root_url: str, part: int = 0) -> int:
    """The network of a fork root: the top 63 bits of the SHA-256 of its stored URL, so it is never negative.

    Args:
        part: which of the networks into which very many forks are divided; the root is in the first.
    """
    name = f"{root_url} {part}" if part else root_url  # no URL has a space
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


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
        """The network of its root. A fork of a large one may be added to another part of it, for good."""
        return network_id(self.fork_of or self.url)
