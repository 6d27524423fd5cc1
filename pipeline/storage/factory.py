"""From a location, as people write it, to its storage."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.model.errors import UsageError
from pipeline.model.redact import HIDDEN, without_secrets
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.settings import HdfsSettings


def open_storage(location: str, settings: HdfsSettings | None = None) -> Storage:
    """The storage at a location; this neither connects nor creates anything.

    Args:
        location: a plain path, ``file:///path`` or ``hdfs://host:port/path``; not percent-encoded.
        settings: the WebHDFS side of an ``hdfs://`` location; unused for local ones.

    Raises:
        UsageError: another scheme, an incomplete location, or ``hdfs://`` without settings.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", location)
    if scheme is None:
        if not location:
            raise UsageError("the archive's location is empty: give a folder or hdfs://host:port/path")
        return LocalStorage(Path(location))
    if scheme[1] == "file":
        path = location.removeprefix("file:").removeprefix("//")
        if not path.startswith("/"):
            raise UsageError(f"{without_secrets(location)}: write file:///folder, with three slashes and no host")
        return LocalStorage(Path(path))
    if scheme[1] == "hdfs":
        if settings is None:
            raise UsageError(f"{without_secrets(location)}: set its WebHDFS addresses (settings 'hdfs')")
        from pipeline.storage.hdfs import HdfsStorage  # noqa: PLC0415 - its HTTP client costs commands on a disk 0.1 s

        return HdfsStorage(location, settings)
    raise UsageError(f"{scheme[1]}:{HIDDEN}: only plain paths, file:// and hdfs:// are known")
