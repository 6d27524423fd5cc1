"""A server that takes what is pushed to it, as a Pushgateway does, and remembers each request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Pushed:
    """One request."""

    method: str
    path: str
    login: str | None
    text: str


@dataclass
class Gateway:
    """Answers every request alike."""

    status: int
    location: str
    port: int = 0
    pushed: list[Pushed] = field(default_factory=list)

    def url(self, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}"


@contextmanager
def gateway(status: int = 200, location: str = "") -> Iterator[Gateway]:
    """A server on a free port until the block ends."""
    made = Gateway(status, location)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            made.pushed.append(Pushed(self.command, self.path, self.headers.get("Authorization"), text))
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
