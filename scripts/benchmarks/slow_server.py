"""A git server that answers late, in its own process: all its repositories have the same refs, which nobody wants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

HEAD, MAIN = b"HEAD", b"refs/heads/main"
FLUSH = b"0000"
"""A pkt-line that ends a message."""


@contextmanager
def late_server(refs: Mapping[bytes, bytes], answer_s: float) -> Iterator[str]:
    """Serve these refs, name to id; HEAD is a symbolic ref to ``MAIN``. Yields the URL of any repository's folder.

    Args:
        refs: full names, HEAD and ``MAIN`` among them.
        answer_s: seconds before a list of refs is sent.
    """
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(there, dict(refs), answer_s), daemon=True)
    process.start()
    try:
        yield f"git://127.0.0.1:{here.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection, refs: dict[bytes, bytes], answer_s: float) -> None:
    capabilities = (b"version 2\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n")
    greeting = b"".join(map(line, capabilities)) + FLUSH
    listing = listing_of(refs)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_line(reader)
            writer.write(greeting)
            while await _read_command(reader):
                await asyncio.sleep(answer_s)
                writer.write(listing)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wants
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def listing_of(refs: Mapping[bytes, bytes]) -> bytes:
    """The answer to ``ls-refs``: HEAD, if it is there, is a symbolic ref to ``MAIN``."""
    return b"".join(line(_shown(name, oid)) for name, oid in sorted(refs.items())) + FLUSH


def line(payload: bytes) -> bytes:
    """A pkt-line."""
    return b"%04x%b" % (len(payload) + 4, payload)


def _shown(name: bytes, oid: bytes) -> bytes:
    return b"%b %b%b\n" % (oid.hex().encode(), name, b" symref-target:" + MAIN if name == HEAD else b"")


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """The payload of a pkt-line; empty for a flush or delimiter."""
    size = int(await reader.readexactly(4), 16)
    return await reader.readexactly(size - 4) if size > 4 else b""


async def _read_command(reader: asyncio.StreamReader) -> bool:
    """Read up to the flush; false if the client sent nothing but that."""
    size, lines = await reader.readexactly(4), 0
    while size != FLUSH:
        if (rest := int(size, 16) - 4) > 0:
            await reader.readexactly(rest)
            lines += 1
        size = await reader.readexactly(4)
    return lines > 0
