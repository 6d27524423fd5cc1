"""The archive's storage, as the rest of the package sees it."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from pipeline.model.errors import UsageError
from pipeline.storage.paths import check_path


@dataclass(frozen=True)
class Entry:
    """A file or folder; ``size_bytes`` is 0 for folders, ``modified_at`` is in seconds since 1970 UTC."""

    path: str
    size_bytes: int
    is_dir: bool
    modified_at: float


@dataclass(frozen=True)
class Uploaded:
    """A file that was sent, read back and compared; ``sha256`` in 64 lower-case hexadecimal digits."""

    path: str
    size_bytes: int
    sha256: str


_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?")


class Storage(ABC):
    """Files below one root. Safe to share between threads and to pickle.

    Paths are relative, '/'-separated text; "" means the root where a method says so. Every method raises ``UsageError``
    for a path that ``check_path`` refuses, ``StorageUnavailable`` without an answer in time, and ``StorageError`` for
    any other refusal, such as no permission or a folder where a file is needed.
    """

    _named_root: str | None = None
    """The root that URIs in the archive's files have, None for the one where it is."""

    @property
    @abstractmethod
    def root_uri(self) -> str:
        """The URI that Spark opens: ``file:///folder`` or ``hdfs://host:port/folder``, without a trailing slash."""

    def uri(self, path: str) -> str:
        """The URI of a path below the root, or of the root, "". Not percent-encoded, as Hadoop expects."""
        return f"{self.root_uri}/{check_path(path, root_allowed=True)}".rstrip("/")

    def path_of(self, uri: str) -> str | None:
        """The path below the root of a URI as Iceberg or Hadoop writes it; None for one that is not below it.

        ``file:/a`` and ``file:///a`` may name the same file. The host is not compared: HDFS has several names for one.
        """
        root, path = (_AUTHORITY.sub("", text) for text in (self._named_root or self.root_uri, uri))
        try:
            return check_path(path.removeprefix(f"{root}/")) if path.startswith(f"{root}/") else None
        except UsageError:
            return None

    def formerly_at(self, root_uri: str) -> Self:
        """The same storage, for an archive whose files name each other by the root where it was before."""
        moved = copy.copy(self)
        moved._named_root = root_uri.rstrip("/")
        return moved

    @abstractmethod
    def stat(self, path: str) -> Entry | None:
        """The file or folder of this name, the root for ""; None if there is none."""

    @abstractmethod
    def list(self, path: str = "") -> Sequence[Entry]:
        """The entries of a folder, sorted by path, including temporary files; empty for a missing folder.

        Raises:
            StorageError: the path is a file.
        """

    def walk(self, path: str = "") -> Iterator[Entry]:
        """All files below a folder, folder by folder; none for a missing folder."""
        for entry in self.list(path):
            if entry.is_dir:
                yield from self.walk(entry.path)
            else:
                yield entry

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """A seekable stream that fetches only the bytes read, for example by ``pyarrow.parquet.ParquetFile``.

        Its reads raise ``StorageUnavailable`` too. Do not replace the file while it is open.

        Raises:
            FileMissing: there is no such file.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A whole file, in one version even while others replace it.

        Raises:
            FileMissing: there is no such file.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> None:
        """Write a new file, completely or not at all; one of several racing callers succeeds. Makes parent folders.

        Raises:
            AlreadyThere: a file or folder has this name.
        """

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Write a file, replacing an existing one: readers see the old or the new. Makes parent folders.

        Raises:
            AlreadyThere: a folder has this name.
        """

    @abstractmethod
    def upload(self, local: Path, path: str) -> Uploaded:
        """Send a local file under a temporary name, read it back, compare it, then rename it. Makes parent folders.

        If anything fails, nothing appears under the final name, and the temporary file is deleted if possible.

        Raises:
            AlreadyThere: a file or folder has this name.
            UploadMismatch: the stored file differs from the local one.
            OSError: the local file cannot be opened.
        """

    @abstractmethod
    def rename(self, src: str, dst: str) -> None:
        """Move a file or folder, never onto or into an existing one. One of several racing callers succeeds.

        Makes parent folders.

        Raises:
            FileMissing: there is nothing named ``src``.
            AlreadyThere: a file or folder is named ``dst``.
        """

    @abstractmethod
    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Delete a file, an empty folder or, if recursive, a whole folder. False if it did not exist.

        Raises:
            StorageError: the folder is not empty and ``recursive`` is False.
        """
