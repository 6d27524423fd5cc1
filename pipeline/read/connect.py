"""The archive for clients of Spark Connect (decision 52)."""

from __future__ import annotations

from datetime import date

from pipeline.read.archive import MOST_ROWS, Archive
from pipeline.read.functions import FUNCTIONS
from pipeline.read.names import NAMES, with_parts
from pipeline.read.stored import StoredTables
from pipeline.rules.cluster import SHUFFLE_PARTITIONS, fitted_partitions
from pipeline.storage.interface import Storage
from pipeline.tables.connect import share_functions, start_server, to_serve
from pipeline.tables.iceberg import RECORDS
from pipeline.tables.session import session_conf
from pipeline.tables.settings import SparkSettings


def settings_to_serve(settings: SparkSettings, storage: Storage, port: int) -> SparkSettings:
    """Settings of a Spark whose every session is fit for the archive, and that may be served.

    Args:
        port: 0 for any that is free.
    """
    serving = to_serve(settings, port)
    tables = StoredTables.newest(storage, MOST_ROWS)
    rows = max(tables.summary(name).get(RECORDS, 0) for name in MOST_ROWS)
    partitions = int(session_conf(serving, storage.root_uri)[SHUFFLE_PARTITIONS])
    fitted = {SHUFFLE_PARTITIONS: str(fitted_partitions(partitions, rows))}
    return serving.model_copy(update={"conf": serving.conf | fitted})


def serve(archive: Archive, night: date | None) -> int:
    """Serve sessions that have our functions, and a night's tables as ``night.NAME``; return the port.

    Raises:
        StoredFileDamaged: a footer is damaged, so rows could be skipped.
    """
    share_functions(archive.spark, FUNCTIONS)
    archive.check_footers(with_parts(NAMES), night)
    for name in sorted(NAMES):
        archive.table(name, night).createOrReplaceGlobalTempView(name)
    return start_server(archive.spark)
