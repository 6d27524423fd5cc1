"""A port on which nobody listens, as long as a test needs it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from tests.support.sockets import LOOPBACK, Peer


@contextlib.contextmanager
def nobody(scheme: str = "git") -> Iterator[Peer]:
    """A port that refuses connections; held, so that no other server gets it."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield Peer(scheme, int(held.getsockname()[1]))
