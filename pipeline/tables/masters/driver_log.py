"""What a driver on a node of YARN says, while it runs: its log files, read through the node's web service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.tables.masters.http import get, get_json
from pipeline.tables.masters.yarn import Container

FILES = ("stdout", "stderr")
"""Python's output and errors both stand in the first, Java's errors in the second."""

_AHEAD_BYTES = 64 << 10
"""Asked for beyond what is new, as the file may grow between two requests: the service counts from its end."""

_HEAD = re.compile(rb"^LogLength:(\d+)\nLogContents:\n", re.MULTILINE)


@dataclass(slots=True)
class _Read:
    """How far a file was read, and its last line as long as it is not complete."""

    seen: int = 0
    rest: bytes = b""


class DriverLog:
    """The log of one container. Nothing in it is trusted: whoever shows a line makes it harmless first."""

    def __init__(self, container: Container) -> None:
        self._url = f"{container.node_url}/ws/v1/node/containers/{container.id}/logs"
        if "://" not in container.node_url:
            self._url = f"http://{self._url}"
        self._files = {name: _Read() for name in FILES}

    def lines(self, *, last: bool = False) -> Iterator[str]:
        """Lines since the last call; none if the node does not answer.

        Args:
            last: there will be no other call: a last line without an end counts too.
        """
        info = get_json(self._url).get("containerLogsInfo")
        parts = info if isinstance(info, list) else [info] if isinstance(info, dict) else []
        sizes = {
            str(file.get("fileName")): int(file.get("fileSize", 0))
            for part in parts
            for file in _listed(part.get("containerLogInfo"))
        }
        for name, read in self._files.items():
            new = self._new_bytes(name, read.seen, sizes.get(name, 0))
            read.seen += len(new)
            *whole, read.rest = (read.rest + new).split(b"\n")
            if last and read.rest:
                whole.append(read.rest)
            yield from (line.decode(errors="replace") for line in whole)

    def _new_bytes(self, name: str, seen: int, size: int) -> bytes:
        if size <= seen:
            return b""
        wanted = size - seen + _AHEAD_BYTES
        body = get(f"{self._url}/{name}?size=-{wanted}") or b""
        head = _HEAD.search(body)
        if head is None:
            return b""
        length = int(head[1])
        start = max(length - wanted, 0)
        content = body[head.end() : head.end() + length - start]
        return content[seen - start :] if start <= seen else content


def _listed(found: object) -> list[dict[str, str]]:
    return found if isinstance(found, list) else [found] if isinstance(found, dict) else []
