"""A git:// server that sends the given packs, whatever they contain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.bad_servers import FLUSH, pkt
from tests.support.sockets import Line, Listener, listening

CAPABILITIES = b"".join(map(pkt, (b"version 2\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n"))) + FLUSH
CHUNK = 60_000


@dataclass
class Asked:
    """What a client sent: the lines of each command, without length and line end."""

    commands: list[list[bytes]] = field(default_factory=list)

    def fetches(self) -> list[list[bytes]]:
        return [lines for lines in self.commands if lines[0] == b"command=fetch"]


@contextmanager
def handmade(
    refs: Mapping[str, str],
    packs: Sequence[bytes],
    before_pack: Callable[[Line], None] = lambda line: None,
    before_refs: Callable[[Line], object] = lambda line: None,
) -> Iterator[tuple[Listener, Asked]]:
    """Serve these refs, and the n-th pack for the n-th request; ``before_pack`` and ``before_refs`` may wait.

    A name may be followed by its attributes.
    """
    asked = Asked()

    def read_command(line: Line) -> list[bytes]:
        lines = []
        while (size := line.reader(4)) not in (FLUSH, b""):
            if int(size, 16) > 4:
                lines.append(line.reader(int(size, 16) - 4).rstrip(b"\n"))
        return lines

    def handle(line: Line) -> None:
        line.reader(int(line.reader(4), 16) - 4)
        line.send(CAPABILITIES)
        while command := read_command(line):
            asked.commands.append(command)
            if command[0] == b"command=ls-refs":
                before_refs(line)
                line.send(
                    b"".join(pkt(f"{oid} {name}\n".encode(errors="surrogateescape")) for name, oid in refs.items())
                    + FLUSH
                )
            else:
                before_pack(line)
                pack = packs[len(asked.fetches()) - 1]
                parts = (pkt(b"\1" + pack[at : at + CHUNK]) for at in range(0, len(pack), CHUNK))
                line.send(pkt(b"packfile\n") + b"".join(parts) + FLUSH)

    with listening(handle) as server:
        yield server, asked
