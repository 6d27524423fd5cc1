"""The objects of a network as of a night, read from data files."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.errors import CheckFailed
from pipeline.model.objects import SKELETON, GitObject, ObjectType
from pipeline.model.rows import CODECS, Codec
from pipeline.model.tables import OID
from pipeline.read.stored import StoredTables
from pipeline.read.tree_rows import TreeRows
from pipeline.storage.errors import StoredFileDamaged
from pipeline.tables.snapshot.live_files import DataFile
from pipeline.tables.snapshot.rows import CONTENT_BATCH_ROWS, Group, Value, groups, rows

_SECOND = 1_000_000
_SKELETON_CODECS = tuple(codec for codec in CODECS.values() if codec.type in SKELETON)


class ObjectsMissing(CheckFailed):
    """The archive lacks objects that a repository needs."""

    def __init__(self, url: str, count: int, example: str) -> None:
        super().__init__(url, count, example)
        self.url, self.count, self.example = url, count, example

    def __str__(self) -> str:
        return f"{self.url} needs {self.count} objects that the archive lacks, such as {self.example}"


class NetworkObjects:
    """Everything of a network except what was taken down.

    Args:
        bucket: the network's bucket.

    Raises:
        StoredFileDamaged: from every method, if a file cannot be read.
    """

    def __init__(self, tables: StoredTables, network: int, bucket: int) -> None:
        self._tables, self._network, self._bucket = tables, network, bucket
        self.storage = tables.storage
        gone = tables.hidden
        self._hidden = gone.anywhere | {oid for at, oid in gone.objects if at == network}
        self._all_hidden = network in gone.networks

    def not_stored(self) -> set[bytes]:
        """Ids of known objects that the archive does not keep: taken down, or blobs over the size limit."""
        found = set(self._tables.taken_down(self._network))
        for file in self._files("blobs"):
            for batch in rows(self.storage, file, ["oid", "stored"], self._mine):
                kept = pc.fill_null(pc.equal(batch.column("stored"), "yes"), fill_value=True)
                found.update(batch.column("oid").filter(pc.invert(kept)).to_pylist())
        return found

    def skeleton(self) -> Iterator[GitObject]:
        """Commits, then tags, then trees; those landed twice are returned twice."""
        for codec in _SKELETON_CODECS:
            for file in self._files(codec.table.name):
                yield from self._objects(codec, file)

    def commits(self, wanted: Collection[bytes]) -> Iterator[GitObject]:
        """Some commits; those that the archive lacks are left out."""
        chosen = pa.array(list(wanted), OID)
        for file in self._files("commits"):
            yield from self._objects(CODECS["commits"], file, chosen)

    def _objects(self, codec: Codec, file: DataFile, wanted: pa.Array | None = None) -> Iterator[GitObject]:
        for batch in rows(self.storage, file, ["oid", *codec.columns], self._mine, batch_rows=CONTENT_BATCH_ROWS):
            chosen = batch if wanted is None else batch.filter(pc.is_in(batch.column("oid").cast(OID), wanted))
            for row in _in_seconds(chosen).to_pylist():
                if row["oid"] not in self._hidden:
                    try:
                        yield GitObject(codec.type, row["oid"], codec.body(row))
                    except CheckFailed as error:
                        raise StoredFileDamaged(file.path, f"{row['oid'].hex()}: {error}") from error

    def trees(self) -> TreeRows:
        """The trees, found by their ids."""
        found = [
            (group, pa.array(oids, OID))
            for file in self._files("trees")
            for group, oids in groups(self.storage, file, "oid", None, self._mine)
        ]
        return TreeRows(self.storage, found, self._hidden)

    def contents(self, lacking: set[bytes]) -> list[Group]:
        """Where the contents of some blobs are, each once; blobs that are found are removed from ``lacking``."""
        found = []
        for file in self._files("contents"):
            for group, oids in groups(self.storage, file, "oid", "size", self._mine):
                chosen = np.zeros(len(oids), bool)
                for at, oid in enumerate(oids):
                    if oid in lacking and oid not in self._hidden:
                        lacking.discard(oid)
                        chosen[at] = True
                if chosen.any():
                    found.append(group.part(chosen))
        return found

    def file_of(self, type_: ObjectType, oid: bytes) -> str:
        """Path of a data file with the row of a commit, tag or tree, "" if there is none."""
        (table,) = (codec.table.name for codec in _SKELETON_CODECS if codec.type is type_)
        for file in self._files(table):
            for batch in rows(self.storage, file, ["oid"], self._mine):
                if pc.any(pc.equal(batch.column("oid"), pa.scalar(oid, pa.binary()))).as_py():
                    return file.path
        return ""

    @property
    def _mine(self) -> dict[str, Value]:
        return {"network": self._network}

    def _files(self, table: str) -> list[DataFile]:
        return [] if self._all_hidden else self._tables.files(table, self._bucket)


def _in_seconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Whole seconds instead of times, which cost more to make in Python than the rest of a commit."""
    for at, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            seconds = pc.divide(batch.column(at).cast(pa.int64()), _SECOND)
            batch = batch.set_column(at, field.name, seconds)
    return batch
