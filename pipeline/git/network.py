"""Connections that are allowed, and that end in time whatever the server does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from types import TracebackType

from pipeline.git.errors import AddressRefused, ConnectionFailed, OriginTimeout, UnknownHost

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to: public ones, and those in ``allowed``."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether a resolved address may be connected to."""
        ip = ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        if mapped is not None:
            ip = mapped
        if ip.is_global and not ip.is_multicast:
            return True
        return any(ip.version == net.version and ip in net for net in self.allowed)


@dataclass(slots=True)
class Deadline:
    """The end of one visit. When it passes, every connection of the visit is shut down, so that no read can outlive it.

    A server that sends a byte a second is never silent; only this ends it. Use as a context manager.
    """

    origin: str
    total_s: float
    passed: bool = False
    _sockets: list[socket.socket] = field(default_factory=list)
    _timer: threading.Timer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Deadline:
        self._timer = threading.Timer(self.total_s, self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._timer is not None
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is up. A duplicate is kept: TLS takes the original's descriptor."""
        with self._lock:
            self._sockets.append(connection.dup())
        self.check()

    def check(self) -> None:
        """Raise OriginTimeout if the time is up. Called between pieces of work that touch no network."""
        if self.passed:
            raise OriginTimeout(self.origin, f"the visit took longer than its limit of {self.total_s:g} s")

    def _expire(self) -> None:
        self.passed = True
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens the connections of one visit, and no others.

    The check is on the resolved address right before connecting, so neither a redirect nor a second answer of the
    name server gets around it.
    """

    origin: str
    policy: AddressPolicy
    deadline: Deadline
    connect_s: float
    silence_s: float

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket with ``silence_s`` as its time limit.

        Raises:
            UnknownHost, AddressRefused, ConnectionFailed, OriginTimeout: as they say.
        """
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise UnknownHost(self.origin, f"the host {host} does not resolve ({error})") from None
        return self._first_that_answers(host, port, found)

    def _first_that_answers(self, host: str, port: int, found: Iterable[tuple]) -> socket.socket:  # type: ignore[type-arg]
        why: OSError | None = None
        permitted = [info for info in found if self.policy.permits(info[4][0])]
        if not permitted:
            raise AddressRefused(
                self.origin, f"{host} leads to an address that is not public; allow its network in the configuration"
            )
        for family, kind, proto, _, address in permitted:
            self.deadline.check()
            connection = socket.socket(family, kind, proto)
            try:
                connection.settimeout(self.connect_s)
                connection.connect(address)
                connection.settimeout(self.silence_s)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.deadline.watch(connection)
            except OSError as error:
                connection.close()
                why = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        if isinstance(why, TimeoutError):
            raise OriginTimeout(self.origin, f"{host}:{port} did not accept within {self.connect_s:g} s") from None
        raise ConnectionFailed(self.origin, f"can not connect to {host}:{port} ({why})") from None
