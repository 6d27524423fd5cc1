"""Messages between a fetch task and the processes of its visits: small objects, followed by Arrow batches."""

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

    def send(self, message: object, body: pa.Buffer | None = None) -> None:
        """Send a message, with bytes if it has any.

        Raises:
            BrokenPipeError: the other process is gone.
        """
        head = pickle.dumps(message)
        self._write(_SIZES.pack(len(head), 0 if body is None else body.size) + head)
        if body is not None:
            self._write(body)

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

    def _write(self, data: bytes | pa.Buffer) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writing, rest) :]

    def _read(self, size: int) -> pa.Buffer:
        buffer = pa.allocate_buffer(size)
        rest = memoryview(buffer)
        while rest:
            got = os.readv(self._reading, [rest])
            if not got:
                raise EOFError
            rest = rest[got:]
        return buffer
