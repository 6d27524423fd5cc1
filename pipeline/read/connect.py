"""The archive for clients of Spark Connect (decision 52)."""

from __future__ import annotations

import logging
import threading
import time
from datetime import date

from pipeline.read.archive import MOST_ROWS, Archive
from pipeline.read.functions import FUNCTIONS
from pipeline.read.names import NAMES, with_parts
from pipeline.read.stored import StoredTables
from pipeline.rules.cluster import SHUFFLE_PARTITIONS, fitted_partitions
from pipeline.storage.interface import Storage
from pipeline.tables.connect import share_functions, start_server, to_serve
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import RECORDS
from pipeline.tables.masters.errors import DriverDied
from pipeline.tables.session import session_conf
from pipeline.tables.settings import SparkSettings
from pipeline.tables.tombstones import pending

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
"""Seconds between looks for takedowns: each asks for the newest metadata of every table, as any query does."""


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


class ServedViews:
    """A night's tables as ``night.NAME``, for all sessions of a server.

    Args:
        archive: with a Spark of this process.
        night: None for that of an archive without a night, and the newest one as soon as there is any.
    """

    def __init__(self, archive: Archive, night: date | None) -> None:
        self._archive, self._night = archive, night
        self._made_of: object = None

    def look(self) -> None:
        """Make the views, or make them anew if a takedown changed since what may be shown, or which files are read.

        Raises:
            StoredFileDamaged: a footer is damaged, so rows could be skipped; the views are made.
        """
        archive, night = self._archive, self._night
        state = pending(archive.spark), archive.snapshots(night)
        if state == self._made_of:
            return
        for name in sorted(NAMES):
            archive.table(name, night).createOrReplaceGlobalTempView(name)
        self._made_of = state
        archive.check_footers(with_parts(NAMES), night)

    def keep_looking(self, where: str) -> None:
        """Look again and again, for as long as this process lives. A look that fails is reported, whatever the reason.

        Args:
            where: the archive's root, for messages.
        """
        while True:
            time.sleep(LOOK_EVERY_S)
            try:
                with plain_failures(where):
                    self.look()
            except DriverDied:
                return
            except Exception as error:
                log.warning("clients may be shown what was taken down, or miss rows: %s", error)


def serve(archive: Archive, night: date | None, where: str) -> int:
    """Serve sessions that have our functions, and views that follow takedowns; return the port.

    Args:
        where: the archive's root, for messages.

    Raises:
        StoredFileDamaged: a footer is damaged, so rows could be skipped.
    """
    share_functions(archive.spark, FUNCTIONS)
    views = ServedViews(archive, night)
    views.look()
    port = start_server(archive.spark)
    threading.Thread(target=views.keep_looking, args=(where,), name="views", daemon=True).start()
    return port
