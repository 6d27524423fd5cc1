"""Messages between a fetch task and the processes of its visits: small objects, some followed by bytes."""

from __future__ import annotations

import fcntl
import os
import pickle
import struct
from contextlib import suppress
from typing import Any

import pyarrow as pa

_SIZES = struct.Struct("<IQ")
_PIPE_BYTES = 1 << 20
_PIECES = os.sysconf("SC_IOV_MAX")


class Channel:
    """One end of two pipes. Both processes are ours: the messages are trusted, the data in them is not."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends that talk to each other."""
        (here_in, there_out), (there_in, here_out) = os.pipe(), os.pipe()
        for descriptor in (there_out, here_out):
            with suppress(OSError):  # over this user's limit: only slower
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return cls(here_in, here_out), cls(there_in, there_out)

    def fileno(self) -> int:
        """The descriptor that a selector waits for."""
        return self._reading

    @property
    def descriptors(self) -> tuple[int, int]:
        """The descriptors of both pipes."""
        return self._reading, self._writing

    def send(self, message: object, *pieces: bytes | memoryview | pa.Buffer) -> None:
        """Send a message and the bytes that follow it.

        Raises:
            BrokenPipeError: the other process is gone.
        """
        head = pickle.dumps(message)
        body = [memoryview(piece) for piece in pieces]
        self._write([memoryview(_SIZES.pack(len(head), sum(map(len, body))) + head), *body])

    def receive(self) -> tuple[Any, pa.Buffer]:
        """The next message and its bytes; waits for it.

        Raises:
            EOFError: the other process is gone.
        """
        head, body = _SIZES.unpack(self._read(_SIZES.size))
        return pickle.loads(self._read(head)), self._read(body)  # noqa: S301 - from our own process

    def close(self) -> None:
        """Close this end."""
        os.close(self._reading)
        os.close(self._writing)

    def _write(self, pieces: list[memoryview]) -> None:
        """Write all, from where they are. A call writes less if a signal comes, or if there are too many bytes."""
        begin = 0
        while begin < len(pieces):
            written = os.writev(self._writing, pieces[begin : begin + _PIECES])
            while begin < len(pieces) and written >= len(pieces[begin]):
                written -= len(pieces[begin])
                begin += 1
            if written:
                pieces[begin] = pieces[begin][written:]

    def _read(self, size: int) -> pa.Buffer:
        buffer = pa.allocate_buffer(size)
        rest = memoryview(buffer)
        while rest:
            got = os.readv(self._reading, [rest])
            if not got:
                raise EOFError
            rest = rest[got:]
        return buffer
