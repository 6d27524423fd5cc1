"""The storage that the archive stands on, as far as the rest of the package knows it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
    """A file that was sent, read back and found the same; ``sha256`` in 64 lower-case hexadecimal digits."""

    path: str
    size_bytes: int
    sha256: str


_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?")


class Storage(ABC):
    """Files below one root. Safe to share between threads and to pickle.

    Paths are relative, '/'-separated text; "" means the root where a method says so. Every method raises ``UsageError``
    for a path that ``check_path`` refuses, ``StorageUnavailable`` when there is no answer in time, and ``StorageError``
    for what else the storage refuses, such as no permission or a folder where a file is needed.
    """

    @property
    @abstractmethod
    def root_uri(self) -> str:
        """What Spark opens: ``file:///folder`` or ``hdfs://host:port/folder``, without a slash at the end."""

    def uri(self, path: str) -> str:
        """The same for a path below the root, or for the root itself, "". Not percent-encoded, as Hadoop wants it."""
        return f"{self.root_uri}/{check_path(path, root_allowed=True)}".rstrip("/")

    def path_of(self, uri: str) -> str | None:
        """The path below the root of a URI as Iceberg or Hadoop writes it; None for one that is elsewhere.

        ``file:/a`` and ``file:///a`` occur for the same file. The host is not compared: HDFS has several names for one.
        """
        root, path = (_AUTHORITY.sub("", text) for text in (self.root_uri, uri))
        return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else None

    @abstractmethod
    def stat(self, path: str) -> Entry | None:
        """The file or folder of this name, the root for ""; None when there is none."""

    @abstractmethod
    def list(self, path: str = "") -> Sequence[Entry]:
        """What a folder holds, sorted by path, temporary files included; empty for a folder that does not exist.

        Raises:
            StorageError: the path is a file.
        """

    def walk(self, path: str = "") -> Iterator[Entry]:
        """All files below a folder, folder by folder; none for a folder that does not exist."""
        for entry in self.list(path):
            if entry.is_dir:
                yield from self.walk(entry.path)
            else:
                yield entry

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """A seekable stream that fetches only what is read, for example by ``pyarrow.parquet.ParquetFile``.

        Its reads raise ``StorageUnavailable`` too. The file must not be replaced while it is open.

        Raises:
            FileMissing: there is no such file.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A whole file, as one version of it even while others replace it.

        Raises:
            FileMissing: there is no such file.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> None:
        """Write a new file: whole or not at all, and by one of any number of racing callers. Makes parent folders.

        Raises:
            AlreadyThere: a file or folder has this name.
        """

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Write a file over what has its name, if anything: readers see the old or the new. Makes parent folders.

        Raises:
            AlreadyThere: a folder has this name.
        """

    @abstractmethod
    def upload(self, local: Path, path: str) -> Uploaded:
        """Send a local file: under a temporary name, then read back and compared, then renamed. Makes parent folders.

        Whatever fails, nothing appears under the final name; the temporary file is deleted if that can be done.

        Raises:
            AlreadyThere: a file or folder has this name.
            UploadMismatch: what was stored is not what was sent.
            OSError: the local file cannot be opened.
        """

    @abstractmethod
    def rename(self, src: str, dst: str) -> None:
        """Move a file or folder, never onto or into an existing one. Of racing callers one succeeds. Makes parents.

        Raises:
            FileMissing: there is nothing named ``src``.
            AlreadyThere: a file or folder is named ``dst``.
        """

    @abstractmethod
    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Delete a file, an empty folder or, if recursive, a whole folder. False when there was nothing.

        Raises:
            StorageError: the folder is not empty and ``recursive`` is False.
        """
