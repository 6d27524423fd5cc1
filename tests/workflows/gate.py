"""A git server behind a gate: it records requests and admits those that the test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.servers import Listener, Peer
from tests.support.sockets import LOOPBACK, Line, listening

WAIT_S = 240


@dataclass
class Gate:
    """``came`` are the requested repositories, in order; ``closed`` decides by a name and its place in that order."""

    closed: Callable[[str, int], bool]
    came: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._let_in: set[str] = set()

    def wait(self, until: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the requests so far satisfy the test."""
        with self._changed:
            assert self._changed.wait_for(lambda: until(self.came), WAIT_S), f"only these came: {self.came}"
            return list(self.came)

    def wait_for(self, count: int) -> list[str]:
        return self.wait(lambda came: len(came) >= count)

    def let_in(self, name: str) -> None:
        """Open for one repository, now and later."""
        with self._changed:
            self._let_in.add(name)
            self._changed.notify_all()

    def open(self) -> None:
        """Open for all."""
        with self._changed:
            self.closed = lambda name, nth: False
            self._changed.notify_all()

    def close(self) -> None:
        """Close for all, and forget past requests."""
        with self._changed:
            self.closed = lambda name, nth: True
            self.came.clear()
            self._let_in.clear()

    def enter(self, name: str, ended: threading.Event) -> None:
        with self._changed:
            self.came.append(name)
            nth = len(self.came)
            self._changed.notify_all()
            while self.closed(name, nth) and name not in self._let_in and not ended.is_set():
                self._changed.wait(1)


@contextmanager
def gated(daemon: Peer, closed: Callable[[str, int], bool] = lambda name, nth: True) -> Iterator[tuple[Listener, Gate]]:
    """Serve what a git daemon serves, through a gate."""
    gate = Gate(closed)

    def handle(line: Line) -> None:
        size = line.reader(4)
        request = line.reader(int(size, 16) - 4)
        gate.enter(request.split(b"\0")[0].rpartition(b"/")[2].decode(), line.server.ended)
        with socket.create_connection((LOOPBACK, daemon.port)) as inside:
            inside.sendall(size + request)
            answers = threading.Thread(target=_relay, args=(inside, line.socket), daemon=True)
            answers.start()
            _relay(line.socket, inside)
            answers.join()

    with listening(handle) as server:
        yield server, gate


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
