"""Loopback sockets for test servers: a free port, a bounded wait, and handlers that end with their test."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

LOOPBACK: Final = "127.0.0.1"
START_LIMIT_S: Final = 60.0
JOIN_LIMIT_S: Final = 10.0
PORTS: Final = range(10_000, 20_000)
"""Ports that tests choose from: none that Linux usually gives away by itself, and none of Hadoop's daemons, which are
started again at their own: ``PORTS`` of ``scripts/hadoop_daemons.py``."""


@dataclass
class Peer:
    """A server that a test talks to, and the requests it received."""

    scheme: str
    port: int
    read_requests: Callable[[], list[str]] = list
    host: str = LOOPBACK

    def url(self, name: str = "repo.git") -> str:
        """The clone URL of one repository."""
        return f"{self.scheme}://{self.host}:{self.port}/{name}"

    @property
    def requests(self) -> list[str]:
        """One line per request so far, oldest first; HTTP: ``METHOD /path?query``, git: the repository's path."""
        return self.read_requests()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    mine = own_ports()
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, secrets.choice(mine)))
            return int(probe.getsockname()[1])


def own_ports() -> range:
    """Those of this process: of several of one run, none takes one that another has just found free.

    Runs beside this one, and a process in place of one that crashed, may: see ``sessions.comes_up``.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % count
    return PORTS[number * len(PORTS) // count : (number + 1) * len(PORTS) // count]


@dataclass
class Line:
    """One accepted connection, as a handler sees it. Its calls raise OSError when the client or the test has ended."""

    socket: socket.socket
    server: Listener
    reader: Callable[[int], bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._file = self.socket.makefile("rb")
        self.reader = self._file.read

    def send(self, data: bytes) -> None:
        """Send all of it and count it."""
        self.socket.sendall(data)
        self.server.count(len(data))

    def send_forever(self, chunks: Iterator[bytes], interval_s: float = 0.0) -> None:
        """Send the chunks until the client leaves, with pauses that the end of the test cuts short."""
        for chunk in chunks:
            if self.server.ended.wait(interval_s) if interval_s else self.server.ended.is_set():
                return
            self.send(chunk)

    def read_head(self) -> bytes:
        """The head of an HTTP request; empty when the client has closed."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            if not line:
                return b""
            head += line
        return head

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()

    def close(self) -> None:
        """Hang up; may be called from another thread to stop a handler that reads."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self.socket.close()


@dataclass
class Listener(Peer):
    """A server in threads of this process."""

    ended: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()

    def count(self, sent_bytes: int = 0, connections: int = 0) -> None:
        """Add to the counters and wake those who wait for them."""
        with self._changed:
            self.sent_bytes += sent_bytes
            self.connections += connections
            self._changed.notify_all()

    def wait_sent(self, at_least_bytes: int, timeout_s: float = START_LIMIT_S) -> bool:
        """Whether at least ``at_least_bytes`` were sent in time, over all connections."""
        with self._changed:
            return self._changed.wait_for(lambda: self.sent_bytes >= at_least_bytes, timeout_s)

    def wait_connected(self, timeout_s: float = START_LIMIT_S) -> bool:
        """Whether a client connected in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.connections > 0, timeout_s)


@contextlib.contextmanager
def listening(handle: Callable[[Line], object], scheme: str = "git") -> Iterator[Listener]:
    """Serve every connection with ``handle`` in its own thread; on exit hang up on all and wait for the threads."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        server = Listener(scheme, listener.getsockname()[1])
        lines: list[Line] = []
        threads: list[threading.Thread] = []

        def serve(line: Line) -> None:
            try:
                with contextlib.suppress(OSError, ValueError):  # ValueError: the file was closed under the reader
                    handle(line)
            finally:
                with contextlib.suppress(OSError, ValueError):
                    line.close()

        def accept() -> None:
            while not server.ended.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    if server.ended.is_set():
                        connection.close()
                        return
                    line = Line(connection, server)
                    lines.append(line)
                    threads.append(threading.Thread(target=serve, args=(line,), daemon=True))
                    server.count(connections=1)
                    threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server
        finally:
            server.ended.set()
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, server.port), timeout=1):
                pass  # wakes the acceptor
            acceptor.join(JOIN_LIMIT_S)
            for line in lines:
                with contextlib.suppress(OSError):
                    line.socket.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(JOIN_LIMIT_S)
