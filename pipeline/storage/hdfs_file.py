"""A file on HDFS as a seekable stream; every read is one ranged request."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class HdfsFile(io.RawIOBase):
    """A raw stream; wrap it in ``io.BufferedReader``, whose buffer is the read-ahead: larger reads are one request.

    Args:
        path: used in errors and as ``name``.
        size_bytes: the file's length when it was opened.
        fetch: fills a buffer completely with ``length`` bytes from ``offset``, or raises.
    """

    def __init__(self, path: str, size_bytes: int, fetch: Callable[[int, int, memoryview], None]) -> None:
        super().__init__()
        self.name = path
        self._size, self._fetch, self._position = size_bytes, fetch, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position, even past the end, where reads return nothing.

        Raises:
            ValueError: the position would be negative, or ``whence`` is unknown.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with as much as the file has left."""
        view = memoryview(buffer).cast("B")
        length = min(len(view), max(self._size - self._position, 0))
        if length:
            self._fetch(self._position, length, view[:length])
            self._position += length
        return length

    def readall(self) -> bytes:
        """The rest of the file in one request."""
        rest = bytearray(max(self._size - self._position, 0))
        self.readinto(rest)
        return bytes(rest)
