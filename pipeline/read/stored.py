"""The tables of a night, read from their files in this process: for one repository, Spark takes longer to start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.layout import night_of, tag_of
from pipeline.model.tables import LANDED, ORIGINS
from pipeline.read.nights import NotAnArchive, choose_night
from pipeline.snapshot.live_files import DataFile, live_files
from pipeline.snapshot.metadata import TableMetadata, read_metadata
from pipeline.snapshot.rows import BATCH_ROWS, rows
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.tombstones import ANYWHERE, OBJECT, PENDING, TAKEDOWNS, Hidden, Tombstone, hidden

_READ = (ORIGINS.name, *(table.name for table in LANDED))


class StoredTables:
    """Tables as of a night, as in ``Archive``.

    All metadata is read at once, since a night may be retired or something taken down meanwhile. That of takedowns is
    read first: then none of them is missed whose rows the others still have.

    Args:
        night: None means the newest sealed night, or the current state of an archive without one.

    Raises:
        NotAnArchive: there are no tables.
        NightNotFound: the night is not sealed.
        StoredFileDamaged: from every method too, if a file cannot be read.
    """

    def __init__(self, storage: Storage, night: date | None = None) -> None:
        self.storage = storage
        self._metadata = {table: read_metadata(storage, table) for table in (TAKEDOWNS, *_READ)}
        origins = self._metadata[ORIGINS.name]
        if origins is None:
            raise NotAnArchive
        known = sorted(found for found in map(night_of, origins.tags) if found is not None)
        self.night = choose_night(night, known)

    def files(self, table: str, bucket: int | None = None) -> list[DataFile]:
        """The data files of a table, of one bucket or all.

        Args:
            table: takedowns, origins or a landed table.
        """
        metadata = self._metadata[table]
        if metadata is None:
            return []
        snapshot = metadata.current
        if self.night is not None and table != TAKEDOWNS:
            snapshot = self._tagged(metadata)
        if snapshot is None:
            return []
        if snapshot not in metadata.lists:
            raise StoredFileDamaged(metadata.path, f"it lacks snapshot {snapshot}, which it names")
        return live_files(self.storage, metadata.lists[snapshot], bucket)

    def _tagged(self, metadata: TableMetadata) -> int:
        tag = tag_of(self.night) if self.night is not None else ""
        if tag not in metadata.tags:
            raise StoredFileDamaged(metadata.path, f"it lacks the tag {tag}")
        return metadata.tags[tag]

    def batches(
        self, table: str, columns: Sequence[str], equal: Mapping[str, int | str], bucket: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows with some values."""
        for file in self.files(table, bucket):
            yield from rows(self.storage, file, columns, equal, batch_rows=BATCH_ROWS)

    def rows(
        self, table: str, columns: Sequence[str], equal: Mapping[str, int | str], bucket: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """``batches``, row by row."""
        for batch in self.batches(table, columns, equal, bucket):
            yield from batch.to_pylist()

    @cached_property
    def hidden(self) -> Hidden:
        """What was taken down and may still be in files."""
        metadata = self._metadata[TAKEDOWNS]
        properties = () if metadata is None else metadata.properties
        pending = pa.array([key.removeprefix(PENDING) for key in properties if key.startswith(PENDING)], pa.string())
        if not pending:
            return Hidden()
        found: list[Tombstone] = []
        for batch in self.batches(TAKEDOWNS, Tombstone.__slots__, {}):
            rows = batch.filter(pc.is_in(batch.column("takedown"), pending))
            found += (Tombstone(**row) for row in rows.to_pylist())
        return hidden(found)

    def taken_down(self, network: int) -> frozenset[bytes]:
        """Ids of a network's objects that were ever taken down; trees and commits may still name them."""
        found: set[bytes] = set()
        for batch in self.batches(TAKEDOWNS, ["kind", "network", "oid"], {}):
            of_objects = pc.is_in(batch.column("kind"), pa.array([OBJECT, ANYWHERE]))
            here = pc.fill_null(pc.equal(batch.column("network"), network), fill_value=True)
            found.update(batch.filter(pc.and_(of_objects, here)).column("oid").drop_null().to_pylist())
        return frozenset(found)
