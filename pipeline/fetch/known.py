"""What the archive already has of a network: read from its data files with pyarrow, column by column.

A plan names the live data files of a bucket. Looking up streams their id columns once for any number of ids, passing
by row groups of other networks, so memory is bounded by the question and not by the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.git.pack_format import BLOB, COMMIT, TAG, TREE, object_oid
from pipeline.model.commit import Commit, build_commit
from pipeline.model.tables import OBJECT_TABLES
from pipeline.model.tag import Tag, build_tag
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

BATCH_ROWS = 65_536
CONTENT_BATCH_ROWS = 256
TYPE_OF = {"commits": COMMIT, "trees": TREE, "tags": TAG, "contents": BLOB}


class Known:
    """The archived objects of one bucket.

    Args:
        storage: where the archive is.
        files: table name to paths of its live data files, relative to the archive's root.
    """

    def __init__(self, storage: Storage, files: Mapping[str, Sequence[str]]) -> None:
        self._storage = storage
        self._files = {t.name: tuple(files.get(t.name, ())) for t in OBJECT_TABLES}

    def which(self, network: int, oids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that are archived as commits, trees, tags or blobs of the network."""
        found: set[bytes] = set()
        wanted = pa.array(list(oids), pa.binary())
        if len(wanted) == 0:
            return found
        for table in ("commits", "trees", "tags", "blobs"):
            for _, batch in self._rows(table, network, ["oid"], wanted, BATCH_ROWS):
                found.update(batch.column("oid").to_pylist())
        return found

    def load(self, network: int, oids: Collection[bytes], types: Collection[int]) -> Iterator[tuple[bytes, int, bytes]]:
        """Id, type number and body of those of the ids that are archived as these types with their bytes.

        One at a time, since all together may be as large as the archive; an object that is stored twice comes twice.
        Each is hashed before it comes: what is built on it would be wrong without a word.

        Raises:
            StoredFileDamaged: a file cannot be read, or holds other bytes under an id.
        """
        wanted = pa.array(list(oids), pa.binary())
        if len(wanted) == 0:
            return
        for table, columns in BODY_COLUMNS.items():
            if TYPE_OF[table] in types:
                for path, batch in self._rows(table, network, columns, wanted, CONTENT_BATCH_ROWS):
                    for row in batch.to_pylist():
                        yield row["oid"], TYPE_OF[table], _verified(path, row["oid"], TYPE_OF[table], BODY[table](row))

    def tags(self, network: int, oids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the ids that are archived annotated tags, and what they point at, one step."""
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


def _verified(path: str, oid: bytes, type_num: int, body: bytes) -> bytes:
    if object_oid(type_num, body) != oid:
        raise StoredFileDamaged(path, f"it holds other bytes than those of {oid.hex()}")
    return body


def _match(batch: pa.RecordBatch, network: int, wanted: pa.Array) -> pa.Array:
    return pc.and_(pc.equal(batch.column("network"), network), pc.is_in(batch.column("oid"), value_set=wanted))


def _has_any(file: ArchiveFile, group: int, network: int, wanted: pa.Array) -> bool:
    ids = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=["network", "oid"])
    return any(pc.any(_match(batch, network, wanted)).as_py() for batch in ids)


def _seconds(row: Mapping[str, object], role: str) -> int | None:
    value = row[f"{role}_time"]
    return None if value is None else int(value.timestamp())  # type: ignore[attr-defined]


def _commit_body(row: dict[str, object]) -> bytes:
    fields = {name: row[name] for name in Commit.__dataclass_fields__}
    for role in ("author", "committer"):
        fields[f"{role}_time"] = _seconds(row, role)
    fields["extra"] = [(e["key"], e["value"]) for e in row["extra"] or ()]  # type: ignore[attr-defined]
    return build_commit(Commit(**fields))  # type: ignore[arg-type]


def _tag_body(row: dict[str, object]) -> bytes:
    fields = {name: row[name] for name in Tag.__dataclass_fields__}
    fields["tagger_time"] = _seconds(row, "tagger")
    fields["extra"] = [(e["key"], e["value"]) for e in row["extra"] or ()]  # type: ignore[attr-defined]
    return build_tag(Tag(**fields))  # type: ignore[arg-type]


def _content_body(row: dict[str, object]) -> bytes:
    content = row["content"]
    assert isinstance(content, bytes)
    return content


BODY_COLUMNS: dict[str, list[str]] = {
    "commits": ["oid", *Commit.__dataclass_fields__],
    "tags": ["oid", *Tag.__dataclass_fields__],
    "trees": ["oid", "content"],
    "contents": ["oid", "content"],
}
BODY: dict[str, Callable[[dict[str, object]], bytes]] = {
    "commits": _commit_body,
    "tags": _tag_body,
    "trees": _content_body,
    "contents": _content_body,
}
