"""Names to addresses, within a time limit: ``getaddrinfo`` has none, and nothing can stop it."""

from __future__ import annotations

import socket
import threading
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, Final

THREADS: Final = 32
"""Most look-ups at once in this process. One that waits for a dead resolver counts until it returns."""

LONGEST_HOST: Final = 253

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""Family, kind, protocol, canonical name and address, as ``socket.getaddrinfo`` returns them."""

_free = threading.BoundedSemaphore(THREADS)


class LookUpTimedOut(Exception):
    """There was no answer in time. The host need not be to blame: it may be the resolver."""


def look_up(host: str, port: int, limit_s: float) -> list[AddressInfo]:
    """All addresses of a host, in the resolver's order.

    Addresses and names of this machine (``localhost`` and below) are answered here. A thread looks up any other name,
    and continues in the background when the time is up; the number of such threads is bounded.

    Args:
        host: a name, or an address in any spelling of ``inet_aton`` or RFC 4291.
        port: for the result.
        limit_s: seconds.

    Raises:
        LookUpTimedOut: there was no answer in time.
        socket.gaierror, ValueError: the name does not resolve, or is not a name.
    """
    if len(host) > LONGEST_HOST:
        raise ValueError("too long")
    known = _without_resolver(host, port)
    if known:
        return known
    if not _free.acquire(timeout=max(limit_s, 0)):
        raise LookUpTimedOut
    return _LookUp(host, port).wait(limit_s)


class _LookUp:
    """One look-up in its own thread. Holds one of the ``THREADS`` places until the resolver answers."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._done = threading.Event()
        self._found: list[AddressInfo] = []
        self._error: Exception | None = None
        try:
            threading.Thread(target=self._run, name="look-up", daemon=True).start()
        except BaseException:
            _free.release()
            raise

    def wait(self, limit_s: float) -> list[AddressInfo]:
        if not self._done.wait(max(limit_s, 0)):
            raise LookUpTimedOut
        if self._error is not None:
            raise self._error
        return self._found

    def _run(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, socket.AF_UNSPEC, socket.SOCK_STREAM)
            self._found = [(*info[:4], (*info[4],)) for info in found if info[0] in FAMILIES]
        except Exception as error:
            self._error = error
        finally:
            _free.release()
            self._done.set()


def _without_resolver(host: str, port: int) -> list[AddressInfo]:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return [_v4("127.0.0.1", port), _v6("::1", port)]
    try:
        return [_v6(str(IPv6Address(host)), port)] if ":" in host and "%" not in host else [_v4(_aton(host), port)]
    except (AddressValueError, OSError, ValueError):
        return []


def _aton(host: str) -> str:
    if any(ch.isspace() for ch in host):
        raise ValueError("inet_aton would stop there")
    return str(IPv4Address(socket.inet_aton(host)))


def _v4(address: str, port: int) -> AddressInfo:
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def _v6(address: str, port: int) -> AddressInfo:
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
