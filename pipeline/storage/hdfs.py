"""Storage on HDFS through WebHDFS."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import time
from collections.abc import Callable, Iterator, Set
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from pipeline.model.errors import UsageError
from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError, StorageUnavailable, UploadMismatch
from pipeline.storage.hdfs_client import make_client, repeated
from pipeline.storage.hdfs_failures import DATA_LATER, LATER, translated
from pipeline.storage.hdfs_file import HdfsFile
from pipeline.storage.interface import Entry, Storage, Uploaded
from pipeline.storage.paths import check_path, join, parent_of, temporary_name
from pipeline.storage.sent import CHUNK_BYTES, Sent
from pipeline.storage.settings import HdfsSettings

logger = logging.getLogger(__name__)

DISCARD_PAUSES_S = (0.0, 0.1, 0.3, 0.6)

_LOCATION = re.compile(r"hdfs://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?(/[^\\@?#]*)?$")

T = TypeVar("T")


class HdfsStorage(Storage):
    """Storage below a folder of HDFS, which need not exist yet. Connects on the first call.

    Safe calls are retried within the settings' limits, an upload from its first byte; ``rename`` is sent once.
    Only the tests on Kubernetes log in by Kerberos; that a token lets us in is untested.

    Args:
        location: ``hdfs://host:port/folder`` or ``hdfs://nameservice/folder``, as Spark opens it.
        settings: the WebHDFS side of the same cluster.
    """

    def __init__(self, location: str, settings: HdfsSettings) -> None:
        if not location.isprintable() or not _LOCATION.match(location):
            raise UsageError("the archive's location: write hdfs://host:port/folder, without user name or password")
        parts = urlsplit(location)
        folder = parts.path.strip("/")
        check_path(folder, root_allowed=True)
        self._location, self._settings = location, settings
        self._authority, self._root = f"hdfs://{parts.netloc}", f"/{folder}" if folder else ""

    def __reduce__(self) -> tuple[type[HdfsStorage], tuple[str, HdfsSettings]]:
        return HdfsStorage, (self._location, self._settings)

    def __repr__(self) -> str:
        return f"HdfsStorage({self._location!r})"

    @property
    def root_uri(self) -> str:
        """The folder as ``hdfs://host:port/folder``."""
        return self._authority + self._root

    def stat(self, path: str) -> Entry | None:
        """See ``Storage.stat``."""
        full = self._full(path, root_allowed=True)
        try:
            status = self._ask(path, lambda: self._client.status(full))
        except FileMissing:
            return None
        return _entry(path, status)

    def list(self, path: str = "") -> list[Entry]:
        """See ``Storage.list``."""
        full = self._full(path, root_allowed=True)

        def statuses() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self._client._list_status(full).json()["FileStatuses"]["FileStatus"]
            return found

        try:
            found = self._ask(path, statuses)
        except FileMissing:
            return []
        if len(found) == 1 and not found[0]["pathSuffix"]:
            raise StorageError(path, "is a file, not a folder")
        entries = [_entry(join(path, status["pathSuffix"]), status) for status in found]
        return sorted(entries, key=lambda entry: entry.path)

    def open(self, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        full = self._full(path)
        entry = self.stat(path)
        if entry is None:
            raise FileMissing(path)
        if entry.is_dir:
            raise StorageError(path, "is a folder, not a file")

        def fetch(offset: int, length: int, into: memoryview) -> None:
            def once() -> None:
                with self._client.read(full, offset=offset, length=length) as answer:
                    filled = 0
                    while filled < length and (chunk := answer.read(min(CHUNK_BYTES, length - filled))):
                        into[filled : filled + len(chunk)] = chunk
                        filled += len(chunk)
                if filled < length:
                    raise StorageUnavailable(path, f"got {filled} instead of {length} bytes from offset {offset}")

            self._ask(path, once, DATA_LATER)

        raw = HdfsFile(path, entry.size_bytes, fetch)
        return io.BufferedReader(raw, buffer_size=self._settings.read_ahead_bytes)

    def read(self, path: str) -> bytes:
        """See ``Storage.read``."""
        full = self._full(path)
        return self._ask(path, lambda: b"".join(self._stream(full)), DATA_LATER)

    def create(self, path: str, data: bytes) -> None:
        """See ``Storage.create``.

        The NameNode's rename without overwriting is the lock. (Its exclusive CREATE would be one too, but shows readers
        an empty file at first, and leaves a torn one if the writer dies.)
        """
        self._land(self._stage(path, data), path, "NONE")

    def replace(self, path: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        self._land(self._stage(path, data), path, "OVERWRITE")

    def upload(self, local: Path, path: str) -> Uploaded:
        """See ``Storage.upload``."""
        self._full(path)
        if self.stat(path) is not None:
            raise AlreadyThere(path)
        temporary, size, sha256 = repeated(self._settings, lambda: self._send(local, path))
        try:
            self._verify(path, temporary, size, sha256)
        except BaseException:
            self._discard(temporary)
            raise
        self._land(temporary, path, "NONE")
        return Uploaded(path=path, size_bytes=size, sha256=sha256)

    def rename(self, src: str, dst: str) -> None:
        """See ``Storage.rename``."""
        full_src, full_dst = self._full(src), self._full(dst)
        if self.stat(src) is None:
            raise FileMissing(src)
        if self.stat(dst) is not None:
            raise AlreadyThere(dst)
        self._make_folder(parent_of(dst))
        try:
            with translated(src, self._settings):
                self._client._rename(full_src, destination=full_dst, renameoptions="NONE")
        except AlreadyThere as error:
            raise AlreadyThere(dst) from error
        except (FileMissing, StorageUnavailable):
            raise
        except StorageError as error:
            if self.stat(dst) is not None:  # a file in a folder's place, or the reverse, has no exception of its own
                raise AlreadyThere(dst) from error
            raise

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """See ``Storage.delete``. After a lost answer, False may also mean that the first attempt deleted it."""
        full = self._full(path)
        return bool(self._ask(path, lambda: self._client.delete(full, recursive=recursive)))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # HdfsCLI has no types
        return make_client(self._settings)

    def _full(self, path: str, *, root_allowed: bool = False) -> str:
        return f"{self._root}/{check_path(path, root_allowed=root_allowed)}".rstrip("/") or "/"

    def _ask(self, path: str, call: Callable[[], T], later: Set[str] = LATER) -> T:
        def once() -> T:
            with translated(path, self._settings, later):
                return call()

        return repeated(self._settings, once)

    def _stream(self, full: str) -> Iterator[bytes]:
        with self._client.read(full) as answer:
            while chunk := answer.read(CHUNK_BYTES):
                yield chunk

    def _make_folder(self, path: str) -> None:
        full = self._full(path, root_allowed=True)
        try:
            self._ask(path, lambda: self._client._mkdirs(full))
        except AlreadyThere as error:
            raise StorageError(path, "is a file, not a folder") from error

    def _write(self, path: str, temporary: str, data: bytes | Iterator[bytes]) -> None:
        with translated(path, self._settings, DATA_LATER):
            self._client.write(
                self._full(temporary),
                data=data,
                overwrite=False,
                blocksize=self._settings.block_size_bytes,
                replication=self._settings.replication,
            )

    def _stage(self, path: str, data: bytes) -> str:
        """Write a temporary file next to the path, with a new name for each attempt."""
        self._full(path)
        return repeated(self._settings, lambda: self._write_new(path, data))

    def _send(self, local: Path, path: str) -> tuple[str, int, str]:
        """Write a temporary file with the bytes of a local one; return its path, size and SHA-256."""
        with local.open("rb") as source:
            sent = Sent(source)
            temporary = self._write_new(path, iter(sent))
        return temporary, sent.size_bytes, sent.sha256

    def _write_new(self, path: str, data: bytes | Iterator[bytes]) -> str:
        """Write a temporary file next to the path; what was written of it is deleted if that fails."""
        temporary = temporary_name(path)
        try:
            self._write(path, temporary, data)
        except BaseException:
            self._discard(temporary)
            raise
        return temporary

    def _verify(self, path: str, temporary: str, size: int, sha256: str) -> None:
        def digest() -> tuple[int, str]:
            found, length = hashlib.sha256(), 0
            for chunk in self._stream(self._full(temporary)):
                found.update(chunk)
                length += len(chunk)
            return length, found.hexdigest()

        stored_size, stored = self._ask(temporary, digest, DATA_LATER)
        if stored_size != size:
            raise UploadMismatch(path, f"{size} bytes", f"{stored_size} bytes")
        if stored != sha256:
            raise UploadMismatch(path, f"sha256 {sha256}", f"sha256 {stored}")

    def _land(self, temporary: str, path: str, option: str) -> None:
        """Give a staged file its name.

        This may be retried: the temporary name is unique to this call, so if it is gone and the path exists, an earlier
        attempt succeeded and only its answer was lost.
        """
        source, target = self._full(temporary), self._full(path)
        try:
            self._ask(path, lambda: self._client._rename(source, destination=target, renameoptions=option))
        except FileMissing:
            if self.stat(path) is None:
                raise
        except StorageUnavailable:
            raise  # it may have happened: leave the staged file to the sweeper
        except StorageError as error:
            self._discard(temporary)
            existing = self.stat(path)
            if existing is not None and (existing.is_dir or option == "NONE"):
                raise AlreadyThere(path) from error
            raise

    def _discard(self, temporary: str) -> None:
        """Delete a staged file if possible; otherwise leave it to the sweeper.

        A DataNode may create the file of a broken upload only after the break, so a missing file is looked for again.
        """
        try:
            for pause_s in DISCARD_PAUSES_S:
                time.sleep(pause_s)
                with translated(temporary, self._settings):
                    if self._client.delete(self._full(temporary)):
                        return
        except StorageError as error:
            logger.warning("left behind: %s", error)


def _entry(path: str, status: dict[str, Any]) -> Entry:
    is_dir = status["type"] == "DIRECTORY"
    return Entry(path, 0 if is_dir else int(status["length"]), is_dir, status["modificationTime"] / 1000)
