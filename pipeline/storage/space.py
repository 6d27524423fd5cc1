"""Free space on this machine's disks and on HDFS."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.hdfs_status import hdfs_status
from pipeline.storage.interface import Storage
from pipeline.storage.settings import HdfsSettings


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a disk, or of HDFS with all copies."""

    free_bytes: int
    total_bytes: int


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def disk_space(folder: Path) -> Space:
    """The disk that a folder is on, or would be on."""
    usage = shutil.disk_usage(nearest(folder))
    return Space(usage.free, usage.total)


def local_folder(root_uri: str) -> Path:
    """The folder of an archive on this machine."""
    return Path(root_uri.removeprefix("file://"))


def archive_space(storage: Storage, settings: HdfsSettings | None) -> Space | None:
    """Where the archive is; None if it is HttpFS, which does not report it.

    Raises:
        StorageUnavailable, StorageError: no NameNode answers.
    """
    if settings is None or not storage.root_uri.startswith("hdfs://"):
        return disk_space(local_folder(storage.root_uri))
    status = hdfs_status(settings)
    return None if status is None else Space(status.free_bytes, status.total_bytes)
