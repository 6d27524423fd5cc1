"""A git server over HTTP that counts: requests by its own clock, conversations at once, and what they carried."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.fetch.handmade import CAPABILITIES
from tests.hostile.servers import LISTING, SENT_PACK
from tests.hostile.web_servers import head, read_body, whole
from tests.support.bad_servers import ADVERTISEMENT_TYPE, FLUSH, RESULT_TYPE, pkt
from tests.support.sockets import Line, Listener, listening

ADVERTISEMENT: Final = pkt(b"# service=git-upload-pack\n") + FLUSH + CAPABILITIES
WAIT_LIMIT_S: Final = 240.0
_ESTABLISHED: Final = 1


@dataclass
class Referee:
    """What a server has seen. Every path below it is the same small repository.

    Attributes:
        times: of requests, by the monotonic clock, in order.
        heads: of requests.
        most_at_once: largest number of connections whose client had not left.
        answer: given the number of a request, from 0, what to send instead of the repository; None for the repository.
    """

    server: Listener
    answer: Callable[[int], bytes | None] = lambda number: None
    times: list[float] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: list[Line] = []

    @property
    def host(self) -> str:
        """The host's name in the configuration."""
        return f"127.0.0.1:{self.server.port}"

    def urls(self, count: int, prefix: str = "r") -> list[str]:
        """So many origins."""
        return [self.server.url(f"{prefix}{number:03}.git") for number in range(count)]

    def wait_for(self, requests: int) -> None:
        """Wait until it has seen so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.times) >= requests, WAIT_LIMIT_S), len(self.times)

    def arrived(self, line: Line) -> None:
        with self._changed:
            self._lines = [other for other in self._lines if _is_open(other.socket)] + [line]
            self.most_at_once = max(self.most_at_once, len(self._lines))

    def asked(self, request: bytes) -> int:
        with self._changed:
            self.times.append(time.monotonic())
            self.heads.append(request)
            self._changed.notify_all()
            return len(self.times) - 1

    def most_beyond(self, per_second: float) -> float:
        """By how many requests the busiest of all stretches of time was beyond this rate."""
        return max(
            (last + 1 - first - per_second * (self.times[last] - self.times[first])
             for first in range(len(self.times)) for last in range(first, len(self.times))),
            default=0.0,
        )  # fmt: skip


def _is_open(connection: socket.socket) -> bool:
    """Whether the client has neither closed nor died (Linux)."""
    with contextlib.suppress(OSError):
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    return False


@contextlib.contextmanager
def referee(answer: Callable[[int], bytes | None] = lambda number: None) -> Iterator[Referee]:
    """Serve and count."""

    def handle(line: Line) -> None:
        found.arrived(line)
        while request := line.read_head():
            body = read_body(line, request) if request.startswith(b"POST") else b""
            told = found.answer(found.asked(request))
            if told is not None:
                line.send(told)
            elif request.startswith(b"GET"):
                line.send(whole(ADVERTISEMENT_TYPE, ADVERTISEMENT))
            else:
                line.send(whole(RESULT_TYPE, SENT_PACK if b"command=fetch" in body else LISTING + FLUSH))

    with listening(handle, "http") as server:
        found = Referee(server, answer)
        yield found


def status(code: int, *headers: str) -> bytes:
    """An answer without a body."""
    return head("text/plain", *headers, status=f"{code} As Told", length=0)
