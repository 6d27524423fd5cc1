"""What the archive already has of a network: read from its data files with pyarrow, column by column.

A plan names the live data files of a bucket. A look-up streams their id columns once for any number of ids and skips
row groups of other networks, so its memory depends on the query and not on the archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import CheckFailed
from pipeline.model.objects import GitObject, ObjectType, object_id
from pipeline.model.rows import CODECS, Cells, Codec
from pipeline.model.tables import OBJECT_TABLES
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

BATCH_ROWS = 65_536
CONTENT_BATCH_ROWS = 256


class ArchivedIds:
    """The archived objects of one bucket.

    Args:
        storage: where the archive is.
        files: table name to paths of its live data files, relative to the archive's root.
    """

    def __init__(self, storage: Storage, files: Mapping[str, Sequence[str]]) -> None:
        self._storage = storage
        self._files = {t.name: tuple(files.get(t.name, ())) for t in OBJECT_TABLES}

    def which(self, network: int, oids: Iterable[bytes]) -> set[bytes]:
        """The ids that are archived as commits, trees, tags or blobs of the network."""
        found: set[bytes] = set()
        wanted = pa.array(list(oids), pa.binary())
        if len(wanted) == 0:
            return found
        for table in ("commits", "trees", "tags", "blobs"):
            for _, batch in self._rows(table, network, ["oid"], wanted, BATCH_ROWS):
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
        for table, codec in CODECS.items():
            if codec.type in types:
                columns = ["oid", *codec.columns]
                for path, batch in self._rows(table, network, columns, wanted, CONTENT_BATCH_ROWS):
                    for row in batch.to_pylist():
                        yield _verified(path, codec, row)

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
        for path in self._files[table]:
            with open_parquet_file(self._storage, path) as file:
                groups = [g for g in range(file.num_row_groups) if file.may_hold(g, "network", [network])]
                narrow = [g for g in groups if _has_any(file, g, network, wanted)] if columns != ["oid"] else groups
                if not narrow:
                    continue
                for batch in file.iter_batches(batch_rows, row_groups=narrow, columns=["network", *columns]):
                    yield path, batch.filter(_match(batch, network, wanted)).select(columns)


def _verified(path: str, codec: Codec, row: Cells) -> GitObject:
    oid: bytes = row["oid"]
    with suppress(CheckFailed):
        body = codec.body(row)
        if object_id(codec.type, body) == oid:
            return GitObject(codec.type, oid, body)
    raise StoredFileDamaged(path, f"it holds other bytes than those of {oid.hex()}")


def _match(batch: pa.RecordBatch, network: int, wanted: pa.Array) -> pa.Array:
    return pc.and_(pc.equal(batch.column("network"), network), pc.is_in(batch.column("oid"), value_set=wanted))


def _has_any(file: ArchiveFile, group: int, network: int, wanted: pa.Array) -> bool:
    ids = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=["network", "oid"])
    return any(pc.any(_match(batch, network, wanted)).as_py() for batch in ids)
