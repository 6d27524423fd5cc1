"""Servers that misbehave in one named way each, on free loopback ports."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.real_servers import CHUNK, Alter, git_daemon, http_backend
from tests.support.sockets import LOOPBACK, Line, Listener, Peer, listening

FLUSH: Final = b"0000"
ADVERTISEMENT_TYPE: Final = "application/x-git-upload-pack-advertisement"
RESULT_TYPE: Final = "application/x-git-upload-pack-result"


def pkt(payload: bytes) -> bytes:
    """One pkt-line."""
    return b"%04x%s" % (len(payload) + 4, payload)


def silent(scheme: str = "git") -> contextlib.AbstractContextManager[Listener]:
    """Accepts, and never sends anything."""
    return listening(lambda line: line.server.ended.wait() and None, scheme)


def trickle(scheme: str = "git", *, interval_s: float = 1.0) -> contextlib.AbstractContextManager[Listener]:
    """Sends well-formed pkt-lines forever, one byte per interval; over HTTP a fast head, then the same as body."""

    def handle(line: Line) -> None:
        if scheme == "http":
            line.read_head()
            line.send(_http_head(ADVERTISEMENT_TYPE) + pkt(b"# service=git-upload-pack\n") + FLUSH)
        endless = itertools.chain(pkt(b"version 2\n"), itertools.cycle(pkt(b"agent=slow\n")))
        line.send_forever((bytes([byte]) for byte in endless), interval_s)

    return listening(handle, scheme)


def reset(scheme: str = "git") -> contextlib.AbstractContextManager[Listener]:
    """Accepts, then resets the connection."""
    return listening(Line.reset, scheme)


def http_status(code: int, headers: str = "") -> contextlib.AbstractContextManager[Listener]:
    """Answers every request with this code; ``headers`` are whole lines, each ending in CR LF."""

    def handle(line: Line) -> None:
        line.read_head()
        line.send(f"HTTP/1.1 {code} As Told\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return listening(handle, "http")


def redirect_to(url: str, *, code: int = 302) -> contextlib.AbstractContextManager[Listener]:
    """Redirects every ``/info/refs`` request to the same path below ``url``, as renamed repositories do."""

    def handle(line: Line) -> None:
        if not (request := line.read_head()):
            return
        target = request.split(b" ")[1].decode("latin-1")
        tail = target[target.index("/info/refs") :] if "/info/refs" in target else ""
        head = f"HTTP/1.1 {code} Moved\r\nLocation: {url}{tail}\r\n"
        line.send(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return listening(handle, "http")


def endless_refs(scheme: str = "git") -> contextlib.AbstractContextManager[Listener]:
    """A valid protocol v2 advertisement, then an endless list of refs."""

    def refs() -> Iterator[bytes]:
        for number in itertools.count():
            oid = hashlib.sha1(b"%d" % number, usedforsecurity=False).hexdigest().encode()
            yield pkt(b"%s refs/heads/branch-%d\n" % (oid, number))

    return _upload_pack(scheme, refs, lambda: iter(()))


def endless_pack(
    scheme: str = "git", *, objects: int = 10_000_000, object_bytes: int = 32_768
) -> contextlib.AbstractContextManager[Listener]:
    """One ref, then a pack that claims a number of objects and sends well-formed, hardly compressible blobs forever."""

    def refs() -> Iterator[bytes]:
        yield pkt(b"%s refs/heads/main\n" % (b"1" * 40))
        yield FLUSH

    def pack() -> Iterator[bytes]:
        source = random.Random(1)
        yield pkt(b"\1PACK" + struct.pack(">II", 2, objects))
        while True:
            blob = source.randbytes(object_bytes)
            yield pkt(b"\1" + _entry_head(len(blob)) + zlib.compress(blob, 0))

    return _upload_pack(scheme, refs, pack)


def _entry_head(size: int) -> bytes:
    """Type blob and size, as a pack entry starts."""
    head = [0x30 | size & 15]
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 127)
        size >>= 7
    return bytes(head)


def _http_head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode()


def _read_command(read: Callable[[int], bytes]) -> list[bytes]:
    """The lines of one protocol v2 command; [] at the end of the conversation."""
    lines = []
    while (size := read(4)) not in (FLUSH, b""):
        if int(size, 16) > 4:
            lines.append(read(int(size, 16) - 4))
    return lines


def _upload_pack(
    scheme: str, refs: Callable[[], Iterator[bytes]], pack: Callable[[], Iterator[bytes]]
) -> contextlib.AbstractContextManager[Listener]:
    """Protocol v2 with answers from two generators of pkt-lines."""
    capabilities = (b"version 2\n", b"agent=bad/1\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n")
    advertisement = b"".join(map(pkt, capabilities)) + FLUSH

    def answer(line: Line, command: list[bytes]) -> None:
        if command[0].startswith(b"command=ls-refs"):
            line.send_forever(refs())
            return
        if b"done\n" not in command and b"done" not in command:
            line.send(pkt(b"acknowledgments\n") + pkt(b"ready\n") + b"0001")
        line.send(pkt(b"packfile\n"))
        line.send_forever(pack())

    def over_git(line: Line) -> None:
        line.reader(int(line.reader(4), 16) - 4)
        line.send(advertisement)
        while command := _read_command(line.reader):
            answer(line, command)

    def over_http(line: Line) -> None:
        if line.read_head().startswith(b"GET"):
            service = pkt(b"# service=git-upload-pack\n") + FLUSH
            line.send(_http_head(ADVERTISEMENT_TYPE) + service + advertisement)
            return
        if command := _read_command(line.reader):
            line.send(_http_head(RESULT_TYPE))
            answer(line, command)

    return listening(over_http if scheme == "http" else over_git, scheme)


def half(root: Path, cut_after_bytes: int, scheme: str = "git") -> contextlib.AbstractContextManager[Peer]:
    """A real server for the repositories below ``root``; every answer ends after ``cut_after_bytes``."""

    def make() -> Alter:
        left = cut_after_bytes

        def cut(data: bytes) -> bytes | None:
            nonlocal left
            if left <= 0:
                return None
            left, kept = left - len(data), data[:left]
            return kept

        return cut

    return _altered(root, make, scheme)


def garbage_pack(root: Path, scheme: str = "git") -> contextlib.AbstractContextManager[Peer]:
    """A real server, but the bytes of every pack are replaced by noise of the same length."""
    source = random.Random(1)
    return _altered(root, lambda: _PackChanger(lambda _, data: source.randbytes(len(data))), scheme)


def corrupt_pack(root: Path, scheme: str = "git", *, offset: int = 40) -> contextlib.AbstractContextManager[Peer]:
    """A real server, but one byte of every pack is flipped, by default inside the first entry's compressed bytes."""

    def flip(start: int, data: bytes) -> bytes:
        if not start <= offset < start + len(data):
            return data
        changed = bytearray(data)
        changed[offset - start] ^= 0xFF
        return bytes(changed)

    return _altered(root, lambda: _PackChanger(flip), scheme)


class _PackChanger:
    """Follows the pkt-lines of a response and changes the bytes of the pack's side band.

    ``change`` gets the offset in the pack and the bytes, and returns equally many. No other line starts with byte 1.
    """

    def __init__(self, change: Callable[[int, bytes], bytes]) -> None:
        self.change, self.pending, self.offset = change, b"", 0

    def __call__(self, data: bytes) -> bytes:
        self.pending += data
        done = []
        while len(self.pending) >= 4 and len(self.pending) >= (size := max(4, int(self.pending[:4], 16))):
            line, self.pending = self.pending[:size], self.pending[size:]
            if line[4:5] == b"\1":
                payload = line[5:]
                line = line[:5] + self.change(self.offset, payload)
                self.offset += len(payload)
            done.append(line)
        return b"".join(done)


@contextlib.contextmanager
def _altered(root: Path, make: Callable[[], Alter], scheme: str) -> Iterator[Peer]:
    if scheme == "http":
        with http_backend(root, alter=make) as server:
            yield server
        return
    with git_daemon(root) as origin, listening(lambda line: _relay(line, origin.port, make())) as proxy:
        proxy.read_requests = lambda: origin.requests
        yield proxy


def _relay(line: Line, port: int, alter: Alter) -> None:
    """Carry one conversation to a real server and back, with the answers altered."""
    with socket.create_connection((LOOPBACK, port), timeout=60) as upstream:

        def ask() -> None:
            with contextlib.suppress(OSError):
                while data := line.socket.recv(CHUNK):
                    upstream.sendall(data)
            with contextlib.suppress(OSError):
                upstream.shutdown(socket.SHUT_WR)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        while data := upstream.recv(CHUNK):
            altered = alter(data)
            if altered is None:
                break
            line.send(altered)
        with contextlib.suppress(OSError):
            line.socket.shutdown(socket.SHUT_RDWR)
        asking.join(10)
