"""Connections that are allowed, and that end in time, whatever the server does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import TracebackType

from pipeline.git.alarm import ALARM
from pipeline.git.errors import AddressRefused, ConnectionFailed, ConnectionLost, OriginTimeout, UnknownHost
from pipeline.git.resolver import AddressInfo, LookUpTimedOut, look_up

Network = IPv4Network | IPv6Network

PUBLIC_IPV6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")

MOST_ADDRESSES = 6
"""Most addresses of a host that are tried, one after the other; each may take ``connect_s``."""

A_MOMENT_S = 0.01
"""Shortest time limit of a socket: with a limit of 0 it would not wait at all."""

SHOWN_OF_HOST = 100
"""Most characters of a host's name in a message; a redirect may lead to one of any length."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to: public ones, and those in ``allowed``."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether a resolved address may be connected to. IPv6 that leads to IPv4 is judged by where it leads."""
        ip = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address):
            ip = _embedded(ip) or ip
        return _is_public(ip) or any(ip.version == net.version and ip in net for net in self.allowed)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address) and ip not in PUBLIC_IPV6:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Deadline:
    """The end of one visit. When it passes, every connection of the visit is shut down, so that no read can outlive it.

    A server that sends one byte per second is never silent; only this stops it. Use as a context manager.
    """

    def __init__(self, total_s: float) -> None:
        self.total_s = total_s
        self._ends = time.monotonic() + total_s
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Deadline:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()
        self.hang_up()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends

    @property
    def left_s(self) -> float:
        """Seconds until the time is up, 0 afterwards."""
        return max(self._ends - time.monotonic(), 0)

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is up. A duplicate is kept: TLS takes the original's descriptor."""
        with self._lock:
            self._sockets.append(connection.dup())
        self.check()

    def check(self) -> None:
        """Raise OriginTimeout if the time is up. Called between pieces of work that touch no network."""
        if self.passed:
            raise OriginTimeout(f"the visit took longer than its limit of {self.total_s:g} s")

    def hang_up(self) -> None:
        """End the watched connections: the server hears of it now, even if a library keeps them open."""
        with self._lock:
            while self._sockets:
                connection = self._sockets.pop()
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock during the block: the origin is not to blame for this wait. No answer is under way."""
        began = time.monotonic()
        self._stop()
        try:
            yield
        finally:
            self._ends += time.monotonic() - began
            self._start()

    def _start(self) -> None:
        ALARM.set(self, self._ends, self._expire)

    def _stop(self) -> None:
        ALARM.clear(self)

    def _expire(self) -> None:
        self._ends = time.monotonic()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens the connections of one visit, one after the other, and no others.

    It checks the resolved address right before connecting, so neither a redirect nor a second answer of the name
    server gets around the check.
    """

    policy: AddressPolicy
    deadline: Deadline
    connect_s: float
    silence_s: float

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket with ``silence_s`` as its time limit. The one before it is ended.

        Raises:
            UnknownHost, AddressRefused, ConnectionFailed, ConnectionLost, OriginTimeout: see their docstrings. A
                resolver that does not answer within ``connect_s`` is a timeout.
        """
        self.deadline.hang_up()
        name, zone, _ = host.strip("[]").partition("%")  # a zone or an encoded part may be anything
        shown = f"{name[:SHOWN_OF_HOST]}..." if zone or len(name) > SHOWN_OF_HOST else name
        try:
            found = look_up(host.strip("[]"), port, min(self.connect_s, self.deadline.left_s))
        except LookUpTimedOut:
            self.deadline.check()
            raise OriginTimeout(f"the host {shown} was not resolved within {self.connect_s:g} s") from None
        except socket.gaierror as error:
            raise UnknownHost(f"the host {shown} does not resolve ({error.strerror})") from None
        except ValueError:
            raise UnknownHost(f"the host {shown} does not resolve (it is not a host name)") from None
        return self._first_that_answers(shown, port, found)

    def _first_that_answers(self, host: str, port: int, found: Iterable[AddressInfo]) -> socket.socket:
        why: OSError | None = None
        permitted = [info for info in found if self.policy.permits(str(info[4][0]))]
        if not permitted:
            raise AddressRefused(
                f"{host} leads to an address that is not public; allow its network in the configuration"
            )
        for family, kind, proto, _, address in permitted[:MOST_ADDRESSES]:
            self.deadline.check()
            connection = None
            try:
                connection = socket.socket(family, kind, proto)
                connection.settimeout(min(self.connect_s, self.deadline.left_s + A_MOMENT_S))
                connection.connect(address)
            except OSError as error:
                if connection is not None:
                    connection.close()
                why = error
            else:
                return self._ready(connection)
        self.deadline.check()
        if isinstance(why, TimeoutError):
            raise OriginTimeout(f"{host}:{port} did not accept within {self.connect_s:g} s") from None
        if isinstance(why, ConnectionResetError):
            raise ConnectionLost(f"{host}:{port} closed the connection at once") from None
        reason = (why and why.strerror) or "no reason given"
        raise ConnectionFailed(f"cannot connect to {host}:{port} ({reason})") from None

    def _ready(self, connection: socket.socket) -> socket.socket:
        try:
            connection.settimeout(self.silence_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.deadline.watch(connection)
        except BaseException:
            connection.close()
            raise
        return connection
