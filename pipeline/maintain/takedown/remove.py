"""Rewrites the data files that hold doomed rows, in the tables and in every kept night, each file once.

A file F with such rows gets a successor without them, which replaces it in all snapshots that have F: in the current
one, and in those of nights, for which new snapshots are made. So no snapshot that a reader can find names F any more,
and F goes with the old snapshots once ``snapshot_age_s`` has passed.

Deletion vectors count rows of a file, so a snapshot that has one for F gets a successor of its own, which lacks the
vector's rows as well.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import numpy as np

from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.file_lines import needed_rows
from pipeline.maintain.takedown.rewrite_file import Source, doomed_rows, write_without
from pipeline.model.layout import NIGHT_TAG, WAREHOUSE, night_of, retired_tag
from pipeline.model.tables import ALL, FILES, NAMESPACE, Table
from pipeline.storage.errors import StorageError
from pipeline.storage.interface import Storage
from pipeline.storage.uris import path_below_root
from pipeline.tables.iceberg import JavaObject, NewFile
from pipeline.tables.maintained import FilesChanged, LiveFile, MaintainedTable, NamedSnapshot, SnapshotRewrite
from pipeline.tables.snapshot.deletion_vectors import Positions, read_positions
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

PREFIX = "takedown-"
"""Prefix of the names of successors."""

ATTEMPTS = 5
_THREADS = 8
_NIGHT = re.compile(rf"{NIGHT_TAG}\d{{4}}-\d\d-\d\d")
_BUCKET = re.compile(r"/bucket=(\d+)/")


@dataclass(frozen=True, slots=True)
class RemovedRows:
    """The rewrite of one table.

    Attributes:
        snapshots: number of replaced snapshots, including the current one.
        files: number of files that held doomed rows; ``before_bytes`` are theirs.
        rows: number of doomed rows in them.
        written: number of successors; ``after_bytes`` are theirs.
        scanned: number of files whose ids were read.
    """

    table: str
    snapshots: int
    files: int
    rows: int
    before_bytes: int
    written: int
    after_bytes: int
    scanned: int


def remove_rows(writer: Writer, storage: Storage, doomed: Doomed, *, scratch: Path) -> list[RemovedRows]:
    """Remove doomed rows from all tables and nights; tables without any are missing. One commit per table.

    May be called again after a kill at any point; it then does the rest.

    Args:
        scratch: a local folder; need not exist.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    done = []
    for table in reversed(ALL):  # rows that make others findable go first
        found = _remove(writer, storage, table, doomed, scratch)
        if found is not None:
            log.info("%s: %d rows removed from %d files, in %d snapshots", *found_words(found))
            done.append(found)
    return done


def found_words(found: RemovedRows) -> tuple[str, int, int, int]:
    """The figures that are reported per table."""
    return found.table, found.rows, found.files, found.snapshots


def _remove(
    writer: Writer,
    storage: Storage,
    table: Table,
    doomed: Doomed,
    scratch: Path,
) -> RemovedRows | None:
    if not doomed.where(table.name):
        return None
    for attempt in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="takedown-", dir=scratch) as folder:
            work = _TableWork(writer, storage, table, doomed, Path(folder))
            try:
                return work.run()
            except FilesChanged:
                if attempt == ATTEMPTS - 1:
                    raise
                log.info("%s was changed by another run; trying again", table.name)
    return None


@dataclass(slots=True)
class _TableWork:
    writer: Writer
    storage: Storage
    table: Table
    doomed: Doomed
    folder: Path
    successors: dict[tuple[str, str], JavaObject | None] = field(default_factory=dict)
    written: int = 0
    after_bytes: int = 0

    def run(self) -> RemovedRows | None:
        iceberg = self.writer.open(MaintainedTable, self.table.name)
        live = {
            snapshot: iceberg.live(snapshot.id, self.doomed.buckets) for snapshot in iceberg.named_snapshots(_NIGHT)
        }
        if self.table is FILES:
            named = {snapshot.id for snapshot in live}
            self.doomed = replace(self.doomed, needed=needed_rows(self.writer.spark, named, self.doomed))
        uris = {file.uri: file for files in live.values() for file in files}
        rows = self._doomed_rows(uris)
        if not rows:
            return None
        rewrites = [
            rewrite for snapshot, files in live.items() if (rewrite := self._rewrite(iceberg, snapshot, files, rows))
        ]
        now = int(time.time())
        taken = set(iceberg.tags())

        def retired_name(tag: str) -> str:
            seconds, night = now, night_of(tag)
            assert night is not None
            while (name := retired_tag(night, seconds)) in taken:
                seconds += 1
            taken.add(name)
            return name

        iceberg.rewrite_snapshots(rewrites, retired_name, {"pipeline.maintain.takedown": "yes"})
        before = sum(uris[uri].handle.fileSizeInBytes() for uri in rows)
        return RemovedRows(
            self.table.name, len(rewrites), len(rows), sum(rows.values()), before, self.written, self.after_bytes,
            len(uris),
        )  # fmt: skip

    def _doomed_rows(self, uris: Iterable[str]) -> dict[str, int]:
        def look(uri: str) -> tuple[str, int]:
            return uri, doomed_rows(self.storage, self.table.name, path_below_root(self.storage, uri), self.doomed)

        with ThreadPoolExecutor(_THREADS) as pool:
            return {uri: count for uri, count in pool.map(look, uris) if count}

    def _rewrite(
        self, iceberg: MaintainedTable, snapshot: NamedSnapshot, files: Sequence[LiveFile], rows: dict[str, int]
    ) -> SnapshotRewrite | None:
        gone = [file for file in files if file.uri in rows]
        if not gone:
            return None
        new = [self._successor(iceberg, file) for file in gone]
        return SnapshotRewrite(snapshot, tuple(gone), tuple(file for file in new if file is not None))

    def _successor(self, iceberg: MaintainedTable, file: LiveFile) -> JavaObject | None:
        """Iceberg's record of a file's successor, which is written once; None if no row stays."""
        key = (file.uri, ",".join(f"{d.location()}@{d.contentOffset()}" for d in file.deletes))
        if key not in self.successors:
            self.successors[key] = self._write(iceberg, file)
        return self.successors[key]

    def _write(self, iceberg: MaintainedTable, file: LiveFile) -> JavaObject | None:
        path = path_below_root(self.storage, file.uri)
        first = file.handle.firstRowId()
        source = Source(path, first, file.handle.fileSequenceNumber(), self._deleted(file))
        local = self.folder / f"{uuid4().hex}.parquet"
        if not write_without(self.storage, self.table, source, self.doomed, local, iceberg.field_ids()):
            return None
        bucket = bucket_of_path(path)
        self.writer.check_lease()
        place = f"{WAREHOUSE}/{NAMESPACE}/{self.table.name}/data/bucket={bucket}/{PREFIX}{local.name}"
        sent = self.storage.upload(local, place)
        local.unlink()
        self.written += 1
        self.after_bytes += sent.size_bytes
        return iceberg.registered(NewFile(self.storage.uri(sent.path), bucket))

    def _deleted(self, file: LiveFile) -> Positions:
        found = [np.empty(0, np.int64)]
        for delete in file.deletes:
            found.append(
                read_positions(
                    self.storage,
                    path_below_root(self.storage, str(delete.location())),
                    delete.contentOffset(),
                    delete.contentSizeInBytes(),
                )
            )
        return np.unique(np.concatenate(found))


def bucket_of_path(path: str) -> int:
    """The bucket in the path of a data file."""
    match = _BUCKET.search(path)
    if match is None:
        raise StorageError(path, "its path does not name a bucket")
    return int(match[1])
