"""What the archive already has of a network: read from its data files with pyarrow, column by column.

A look-up asks the index first (``fetch/id_index.py``), then streams the id columns of large row groups that may have
the network, once for any number of ids, so its memory depends on the query and not on the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.id_index import IdIndex
from pipeline.fetch.planned_files import DataFile
from pipeline.fetch.shelf import Shelf
from pipeline.model.errors import CheckFailed
from pipeline.model.objects import GitObject, ObjectType, object_id
from pipeline.model.rows import CODECS, Cells, Codec
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

BATCH_ROWS = 65_536
CONTENT_BATCH_ROWS = 256


class ArchivedIds:
    """The archived objects of one bucket.

    Args:
        storage: where the archive is.
        files: returns a table's live data files.
        shelf: what other workers of the task have opened; None if there are none.
    """

    def __init__(
        self, storage: Storage, files: Callable[[str], Sequence[DataFile]], shelf: Shelf | None = None
    ) -> None:
        self._storage = storage
        self._index = IdIndex(storage, files, shelf)

    def which(self, network: int, oids: Iterable[bytes]) -> set[bytes]:
        """The ids that are archived as commits, trees, tags or blobs of the network."""
        found: set[bytes] = set()
        wanted = pa.array(list(oids), pa.binary())
        if len(wanted) == 0:
            return found
        for table in ("commits", "trees", "tags", "blobs"):
            indexed = self._index.find(table, network, wanted)
            found |= indexed.oids
            for unread in indexed.unread:
                with open_parquet_file(self._storage, unread.path) as file:
                    for batch in _matching(file, network, unread.groups, ["oid"], wanted, BATCH_ROWS):
                        found.update(batch.column("oid").to_pylist())
        return found

    def load(self, network: int, oids: Collection[bytes], types: Collection[ObjectType]) -> Iterator[GitObject]:
        """The objects with these ids that are archived as these types, with their bytes.

        Yields one at a time, since all together may be as large as the archive; an object stored twice is yielded
        twice. Each is hashed first: objects built on damaged bytes would be silently wrong.

        Raises:
            StoredFileDamaged: a file cannot be read, or holds other bytes under an id.
        """
        wanted = pa.array(list(oids), pa.binary())
        if len(wanted) == 0:
            return
        try:
            for table, codec in CODECS.items():
                if codec.type in types:
                    columns = ["oid", *codec.columns]
                    for path, batch in self._rows(table, network, columns, wanted, CONTENT_BATCH_ROWS):
                        for row in batch.to_pylist():
                            yield _verified(path, codec, row)
        finally:
            pa.default_memory_pool().release_unused()  # pages of contents are large

    def tags(self, network: int, oids: Iterable[bytes]) -> dict[bytes, bytes]:
        """The ids that are archived annotated tags, and their direct targets."""
        wanted = pa.array(list(oids), pa.binary())
        found: dict[bytes, bytes] = {}
        if len(wanted) == 0:
            return found
        for _, batch in self._rows("tags", network, ["oid", "target"], wanted, BATCH_ROWS):
            found.update((row["oid"], row["target"]) for row in batch.to_pylist() if row["target"] is not None)
        return found

    def _rows(
        self, table: str, network: int, columns: list[str], wanted: pa.Array, batch_rows: int
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        found = self._index.find(table, network, wanted)
        sure = {row_groups.path: row_groups.groups for row_groups in found.holding}
        unsure = {row_groups.path: row_groups.groups for row_groups in found.unread}
        for path in {**sure, **unsure}:
            with open_parquet_file(self._storage, path) as file:
                more = (group for group in unsure.get(path, ()) if _has_any(file, group, network, wanted))
                groups = [*sure.get(path, ()), *more]
                if groups:
                    for batch in _matching(file, network, groups, columns, wanted, batch_rows):
                        yield path, batch


def _verified(path: str, codec: Codec, row: Cells) -> GitObject:
    oid: bytes = row["oid"]
    with suppress(CheckFailed):
        body = codec.body(row)
        if object_id(codec.type, body) == oid:
            return GitObject(codec.type, oid, body)
    raise StoredFileDamaged(path, f"it holds other bytes than those of {oid.hex()}")


def _match(batch: pa.RecordBatch, network: int, wanted: pa.Array) -> pa.Array:
    return pc.and_(pc.equal(batch.column("network"), network), pc.is_in(batch.column("oid"), value_set=wanted))


def _matching(
    file: ArchiveFile, network: int, groups: Sequence[int], columns: list[str], wanted: pa.Array, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(batch_rows, row_groups=list(groups), columns=["network", *columns]):
        yield batch.filter(_match(batch, network, wanted)).select(columns)


def _has_any(file: ArchiveFile, group: int, network: int, wanted: pa.Array) -> bool:
    ids = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=["network", "oid"])
    return any(pc.any(_match(batch, network, wanted)).as_py() for batch in ids)
