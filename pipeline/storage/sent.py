"""The bytes of a local file on their way to storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

CHUNK_BYTES = 1 << 20


class Sent:
    """A file in chunks, counted and hashed as they are taken.

    Attributes:
        size_bytes: of the chunks taken so far.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._sum = source, hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in iter(lambda: self._source.read(CHUNK_BYTES), b""):
            self._sum.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of the chunks taken so far, in hexadecimal."""
        return self._sum.hexdigest()
