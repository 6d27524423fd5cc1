"""One file from one storage to another, compared at both ends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pipeline.maintain.copy.pinned import SourceChanges
from pipeline.maintain.copy.plan import File, Turn
from pipeline.model.errors import ScratchFailed
from pipeline.storage.bytes import CHUNK_BYTES
from pipeline.storage.errors import FileMissing, StoredFileDamaged, UploadMismatch
from pipeline.storage.interface import Storage


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends files; safe to share between threads.

    Attributes:
        sums: recorded sizes and SHA-256, by path.
        scratch: local folder that holds each file on its way.
    """

    source: Storage
    to: Storage
    sums: dict[str, tuple[int, bytes]]
    scratch: Path

    def send(self, file: File) -> None:
        """Make a file of the copy equal to the original's.

        Raises:
            SourceChanges: the original is gone.
            StoredFileDamaged: the original is not what was recorded of it; the copy keeps what it had.
            UploadMismatch: what was written reads otherwise.
            ScratchFailed: the scratch is full, say.
        """
        try:
            if file.turn is Turn.DOCUMENT:
                put(self.to, file.path, self.source.read(file.path))
            else:
                self._send_once(file)
        except FileMissing as error:
            if error.path != file.path:
                raise
            raise SourceChanges(file.path) from error

    def _send_once(self, file: File) -> None:
        local = self.scratch / uuid4().hex
        try:
            found = self._fetch(file.path, local)
            known = self.sums.get(file.path)
            if found[0] != file.size_bytes or known not in (None, found):
                raise StoredFileDamaged(file.path, "it has not the size or the checksum that is recorded")
            self.to.delete(file.path)  # one of another size, or with damage
            self.to.upload(local, file.path)
        finally:
            local.unlink(missing_ok=True)

    def _fetch(self, path: str, local: Path) -> tuple[int, bytes]:
        digest, size = hashlib.sha256(), 0
        with self.source.open(path) as stream, local.open("xb", buffering=0) as out:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                try:
                    size += out.write(chunk)
                except OSError as error:
                    raise ScratchFailed(str(local), error.strerror or str(error)) from error
        return size, digest.digest()


def put(to: Storage, path: str, data: bytes) -> None:
    """Write a small file, and compare it.

    Raises:
        UploadMismatch: it reads otherwise.
    """
    to.replace(path, data)
    if to.read(path) != data:
        raise UploadMismatch(path, f"{len(data)} bytes", "others")
