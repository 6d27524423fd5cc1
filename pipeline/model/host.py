"""The host of a URL, as limits, tokens and the configuration name it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

USUAL_PORTS = (80, 443, 9418)
"""Ports of http, https and git: all of them are the same host."""


def host_name(host: str, port: int | None) -> str:
    """The name of a host in lower case, followed by its port unless that is a usual one.

    >>> host_name("GitHub.com.", 443), host_name("h", 8443), host_name("::1", 9418)
    ('github.com', 'h:8443', '[::1]')
    """
    name = host.strip("[]").rstrip(".").lower()
    if ":" in name:
        name = f"[{name}]"
    return name if port is None or port in USUAL_PORTS else f"{name}:{port}"


def host_of(url: str) -> str | None:
    """The name of a URL's host; None if it has none.

    >>> host_of("https://github.com:443/a/b"), host_of("git@h:a.git")
    ('github.com', None)
    """
    try:
        parts = urlsplit(url)
        return host_name(parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def hides(scheme: str, name: str) -> bool:
    """Whether nobody on the way reads what is sent to a host: over TLS, or to this machine.

    >>> hides("https", "h"), hides("http", "h"), hides("http", "localhost:8080")
    (True, False, True)
    """
    return scheme == "https" or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a name from ``host_name`` is this machine's own, as it is written.

    >>> is_loopback("localhost:8080"), is_loopback("[::1]"), is_loopback("127.0.0.1:1"), is_loopback("127.example")
    (True, True, True, False)
    """
    host = name.partition("]")[0].strip("[") if name.startswith("[") else name.partition(":")[0]
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
