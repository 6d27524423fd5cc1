"""The platform, room by room; docs/architecture.md is the map. Programs that read an archive use ``pipeline.open``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.model.version import __version__ as __version__

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from pyspark.sql import SparkSession

    from pipeline.read.archive import Archive

os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
"""For Arrow, which reads it when it is loaded, here, in children and in Python workers. With huge pages its
memory is cleared by 2 MB at a time, used or not: a third of the CPU of a small fetch.
"""

os.environ.setdefault("MIMALLOC_PURGE_DELAY", "60000")
"""Milliseconds for which Arrow keeps memory that it does not need. After the default, 10, the next large page would
take memory that is cleared again: a tenth of the CPU of a fetch.
"""


def open(
    location: str | Path | None = None,
    night: date | str | None = None,
    *,
    config: str | Path | None = None,
    spark: SparkSession | str | None = None,
) -> Archive:
    """Open an archive to read it as of a night. Starts no Spark; ``table`` and ``sql`` of the result do.

    Args:
        location: a folder or an hdfs:// URL; None for the one that the configuration names.
        night: a date, or a text such as 2026-11-24; None for the newest night at the time of each read.
        config: a TOML file; None for conf/local.toml in the current folder, or else the defaults.
        spark: a session to use instead of one of our own, such as that of ``spark-submit``, with Iceberg on its class
            path. It keeps its settings; what the archive needs is set in a new session beside it. Or a session of a
            ``pipeline connect``, or its address.

    Raises:
        NoArchive, NightNotFound, BadConfiguration: there is no such archive, night or configuration.
    """
    from pipeline.read.api import open_archive  # noqa: PLC0415 - everything here imports this package, and most of it no Spark

    return open_archive(location, night, config=config, spark=spark)
