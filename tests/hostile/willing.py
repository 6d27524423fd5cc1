"""A git:// server that shows and sends whatever a spec has made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fetch.handmade import CAPABILITIES, CHUNK
from tests.hostile.spec import Made, Refs
from tests.support.bad_servers import FLUSH, pkt
from tests.support.sockets import Line, Listener, listening


def read_command(line: Line) -> list[bytes]:
    """The lines of one protocol v2 command without line ends; [] when the client has left."""
    lines = []
    while (size := line.reader(4)) not in (FLUSH, b""):
        if int(size, 16) > 4:
            lines.append(line.reader(int(size, 16) - 4).rstrip(b"\n"))
    return lines


def read_greeting(line: Line) -> bytes:
    """The first line of a git:// client."""
    return line.reader(int(line.reader(4), 16) - 4)


def ref_lines(made: Made, refs: Refs) -> list[bytes]:
    """An ``ls-refs`` answer as git sends it, with tags peeled as far as the objects allow."""
    if made.lines is not None:
        return made.lines
    ends: dict[str, str] = {}
    for oid, (kind, data) in made.objects.items():  # a tag comes after its target
        if kind == "tag":
            target = data[7:47].decode("latin-1")
            ends[oid] = ends.get(target, target)
    lines = []
    for name, oid in refs.items():
        symbolic = b" symref-target:" + made.symrefs[name] if name in made.symrefs else b""
        peeled = b" peeled:" + ends[oid].encode("latin-1") if oid in ends else b""
        lines.append(oid.encode() + b" " + name + symbolic + peeled + b"\n")
    return lines


def side_band(pack: bytes) -> Iterator[bytes]:
    """The pkt-lines that carry a pack."""
    for at in range(0, len(pack), CHUNK):
        yield pkt(b"\1" + pack[at : at + CHUNK])


@contextmanager
def willing(made: Made, refs: Refs) -> Iterator[Listener]:
    """Serve what a spec has made."""
    listing = b"".join(map(pkt, ref_lines(made, refs))) + FLUSH
    pack = made.sent_pack()

    def handle(line: Line) -> None:
        read_greeting(line)
        line.send(CAPABILITIES)
        while command := read_command(line):
            if command[0] == b"command=ls-refs":
                line.send(listing)
            else:
                line.send(pkt(b"packfile\n"))
                line.send_forever(side_band(pack))
                line.send(FLUSH)

    with listening(handle) as server:
        yield server
