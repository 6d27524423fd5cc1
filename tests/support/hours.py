"""Hours of events on a server of ours, as GH Archive has them."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.forges import response
from tests.support.sockets import Line, Listener, listening

CLONES = "https://forge.example"


def event(number: int, name: str, at: datetime, kind: str = "PushEvent", **values: Any) -> dict[str, Any]:
    """An event as the forge gives it since October 2025."""
    payload = {"repository_id": number, "push_id": 9, "ref": "refs/heads/main", "head": "a" * 40, "before": "b" * 40}
    return {
        "id": "4712", "type": kind, "actor": {"id": 1, "login": "somebody"}, "public": True,
        "repo": {"id": number, "name": name, "url": f"https://api.forge.example/repos/{name}"},
        "payload": payload if kind == "PushEvent" else {}, "created_at": at.isoformat().replace("+00:00", "Z"),
    } | values  # fmt: skip


def packed(events: Sequence[object]) -> bytes:
    """The file of an hour."""
    return gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in events))


def url_name(at: datetime) -> str:
    """How its hour is asked for, written here once more by hand."""
    return f"/{at.year}-{at.month:02}-{at.day:02}-{at.hour}.json.gz"


Trouble = Callable[[int, str], bytes | None]


@dataclass
class Hours:
    """Files by path, and what is asked for; what is not there is a 404."""

    server: Listener
    files: dict[str, bytes] = field(default_factory=dict)
    trouble: Trouble = lambda number, path: None
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def put(self, at: datetime, *events: object) -> None:
        """Publish an hour."""
        self.files[url_name(at)] = packed(events)


@contextlib.contextmanager
def serving_hours() -> Iterator[Hours]:
    """Serve files of hours."""

    def handle(line: Line) -> None:
        while request := line.read_head():
            path = request.split()[1].decode()
            found.requests.append(path)
            told = found.trouble(len(found.requests) - 1, path)
            if told is None:
                body = found.files.get(path)
                told = (
                    response(b"", "404 Not Found")
                    if body is None
                    else response(body, kind="application/gzip", Content_Encoding="gzip")
                )
            line.send(told)

    with listening(handle, "http") as server:
        found = Hours(server)
        yield found


def day(hour: int, minute: int = 0) -> datetime:
    """A moment of the day before the tests' day, or of the next one from 24 on."""
    return datetime.fromtimestamp(datetime(2026, 11, 26, tzinfo=UTC).timestamp() + 3600 * hour + 60 * minute, UTC)
