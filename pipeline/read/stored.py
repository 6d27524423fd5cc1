"""The tables of a night, read from their files in this process: for one repository, Spark takes longer to start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.context.archive import former_root
from pipeline.model.layout import night_of, tag_of
from pipeline.model.tables import BY_NAME, LANDED, ORIGINS
from pipeline.model.tombstone import ANYWHERE, OBJECT, PENDING, TAKEDOWNS, Hidden, Tombstone, hidden
from pipeline.read.hidden_rows import keys_of, shown
from pipeline.read.nights import NotAnArchive, choose_night
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.live_files import DataFile, live_files
from pipeline.tables.snapshot.metadata import TableMetadata, read_metadata
from pipeline.tables.snapshot.rows import BATCH_ROWS, Value, rows

_READ = tuple(table.name for table in LANDED)


class StoredTables:
    """Tables as of a night, as in ``Archive``.

    All metadata is read at once, since a night may be retired or something taken down meanwhile. That of takedowns is
    read first: then none of them is missed whose rows the others still have. An archive that was moved is read where
    it is.

    Args:
        night: None means the newest sealed night, or the current state of an archive without one.
        names: the tables to read, besides takedowns and ``origins``.

    Raises:
        NotAnArchive: there are no tables.
        NightNotFound: the night is not sealed.
        StoredFileDamaged: from every method too, if a file cannot be read.
    """

    def __init__(self, storage: Storage, night: date | None = None, names: Collection[str] = _READ) -> None:
        self._metadata = {
            table: read_metadata(storage, table) for table in dict.fromkeys((TAKEDOWNS, ORIGINS.name, *names))
        }
        origins = self._metadata[ORIGINS.name]
        if origins is None:
            raise NotAnArchive
        former = former_root(storage, origins)
        self.storage = storage if former is None else storage.formerly_at(former)
        self.nights = sorted(found for found in map(night_of, origins.tags) if found is not None)
        self.night = choose_night(night, self.nights)

    @classmethod
    def newest(cls, storage: Storage, names: Collection[str]) -> Self:
        """The current state, which may be newer than the newest night.

        Raises:
            NotAnArchive: there are no tables.
        """
        tables = cls(storage, None, names)
        tables.night = None
        return tables

    def summary(self, table: str) -> Mapping[str, int]:
        """Iceberg's counts for the current snapshot of a table; empty if it never had one."""
        metadata = self._metadata[table]
        counts = {} if metadata is None else metadata.summary
        return {key: int(value) for key, value in counts.items() if key.startswith("total-")}

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
        self, table: str, columns: Sequence[str], equal: Mapping[str, Value], bucket: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows with some values."""
        for file in self.files(table, bucket):
            yield from rows(self.storage, file, columns, equal, batch_rows=BATCH_ROWS)

    def rows(
        self, table: str, columns: Sequence[str], equal: Mapping[str, Value], bucket: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """``batches``, row by row."""
        for batch in self.batches(table, columns, equal, bucket):
            yield from batch.to_pylist()

    def visible(
        self, table: str, columns: Sequence[str], equal: Mapping[str, Value] | None = None, bucket: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows with some values, as readers see them: without what was taken down, in the table's own types."""
        schema = pa.schema([BY_NAME[table].arrow_schema.field(name) for name in columns])
        gone = self.hidden if self.hidden.touches(table) else None
        read = columns if gone is None else list(dict.fromkeys([*columns, *keys_of(table)]))
        for batch in self.batches(table, read, equal or {}, bucket):
            left = batch if gone is None else shown(batch, table, gone)
            arrays = [left.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

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
