"""A git server in its own process that answers at once: it has no repositories, but makes up what it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from zlib import compress

from benchmarks.slow_server import FLUSH, line, listing_of, read_line
from pipeline.model.links import OID_BYTES
from scaling.made import FIRST, Made, Shape, refs_at
from scaling.population import place_of

_GREETING = b"".join(map(line, (b"version 2\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n"))) + FLUSH
_READY = line(b"acknowledgments\n") + line(b"ready\n") + b"0001"
"""For a client that still negotiates: it need not go on."""

_BAND_BYTES = 65_000


class MadeUpServer:
    """The server as its parent sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.url = f"git://127.0.0.1:{connection.recv()}"

    def show(self, shape: Shape, begun: int, tips: Sequence[bytes] = ()) -> None:
        """Show repositories of a shape from now on, roots at the version ``begun``.

        Args:
            tips: for each version from the first to ``begun``, the commits of all networks, 20 bytes each, which saves
                making the repositories up again; none if they are to be made up.
        """
        self._tell((shape, begun, tuple(tips)))

    def advance(self, numbers: Sequence[int]) -> None:
        """Add a commit to the roots of some networks."""
        self._tell(list(numbers))

    def _tell(self, message: object) -> None:
        self._connection.send(message)
        self._connection.recv()


@contextmanager
def made_up_server() -> Iterator[MadeUpServer]:
    """Serve while the block runs."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield MadeUpServer(here)
    finally:
        process.kill()
        process.join()


class Shown:
    """What the origins show."""

    def __init__(self, shape: Shape, begun: int, tips: Sequence[bytes]) -> None:
        self._shape, self._begun, self._tips = shape, begun, tips
        self._ahead: dict[int, int] = {}

    def advance(self, numbers: Sequence[int]) -> None:
        """As ``MadeUpServer.advance``."""
        for number in numbers:
            self._ahead[number] = self._ahead.get(number, 0) + 1

    def listing(self, path: str) -> bytes:
        """The answer to ``ls-refs``."""
        number, is_root = place_of(path)
        version = self._version(number) if is_root else FIRST
        oid = self._tip(number, version)
        return listing_of({name: ref.target or oid for name, ref in refs_at(oid).items()})

    def pack(self, path: str, haves: set[bytes]) -> bytes:
        """A pack of all that the newest version the client has lacks; of everything if it has none."""
        number, is_root = place_of(path)
        newest = self._version(number) if is_root else FIRST
        known = max((v for v in range(FIRST, newest + 1) if self._tip(number, v) in haves), default=FIRST - 1)
        versions = range(known + 1, newest + 1)
        return pack_of({made.oid: made for v in versions for made in self._shape.added(number, v)})

    def _version(self, number: int) -> int:
        return self._begun + self._ahead.get(number, 0)

    def _tip(self, number: int, version: int) -> bytes:
        if version - FIRST < len(self._tips):
            return self._tips[version - FIRST][number * OID_BYTES : (number + 1) * OID_BYTES]
        return self._shape.version(number, version).tip


def pack_of(objects: Mapping[bytes, Made]) -> bytes:
    """A pack of whole objects, without deltas."""
    parts = [b"PACK", (2).to_bytes(4, "big"), len(objects).to_bytes(4, "big")]
    for made in objects.values():
        size, first = len(made.body) >> 4, (made.type << 4) | (len(made.body) & 15)
        header = bytearray()
        while size:
            header.append(first | 0x80)
            first, size = size & 0x7F, size >> 7
        parts += [bytes(header), bytes((first,)), compress(made.body, 1)]
    data = b"".join(parts)
    return data + sha1(data, usedforsecurity=False).digest()


def _serve(parent: Connection) -> None:
    shown = Shown(Shape(1, 1, 1), FIRST, ())

    def hear() -> None:
        nonlocal shown
        message: Any = parent.recv()
        if isinstance(message, list):
            shown.advance(message)
        else:
            shown = Shown(*message)
        parent.send(None)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await read_line(reader)).partition(b" ")[2].partition(b"\0")[0].decode()
            writer.write(_GREETING)
            while command := await _command(reader):
                if command[0].startswith(b"command=ls-refs"):
                    writer.write(shown.listing(path))
                else:
                    haves = {bytes.fromhex(words[5:45].decode()) for words in command if words.startswith(b"have ")}
                    if b"done\n" not in command:
                        writer.write(_READY)
                    writer.writelines(_in_band(shown.pack(path, haves)))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wants
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
        parent.send(server.sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(parent.fileno(), hear)
        await server.serve_forever()

    asyncio.run(serve())


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    """The lines of a request up to its flush; empty if the client sent nothing but that."""
    lines = []
    while (size := await reader.readexactly(4)) != FLUSH:
        if (rest := int(size, 16) - 4) > 0:
            lines.append(await reader.readexactly(rest))
    return lines


def _in_band(pack: bytes) -> Iterator[bytes]:
    yield line(b"packfile\n")
    for at in range(0, len(pack), _BAND_BYTES):
        yield line(b"\1" + pack[at : at + _BAND_BYTES])
    yield FLUSH
