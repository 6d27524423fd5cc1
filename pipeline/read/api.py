"""What Python programs and notebooks begin with: ``pipeline.open``. docs/python.md explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from pyspark.sql import SparkSession

    from pipeline.read.archive import Archive


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
    from pipeline.read.opening import open_archive  # noqa: PLC0415 - every room imports this module, and most of them no Spark

    return open_archive(location, night, config=config, spark=spark)
