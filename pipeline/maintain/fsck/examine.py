"""The part of the deep check in Spark's Python workers: open row groups, rebuild and hash each object, yield only ids.

Content never leaves the worker. A file that cannot be read becomes a row like any other, and the check continues.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.model.errors import CheckFailed
from pipeline.model.objects import BLOB, object_id
from pipeline.model.rows import CODECS
from pipeline.model.tables import GONE, TREE
from pipeline.read.history import links_of
from pipeline.read.inventory.finding import Kind
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

OBJECT, CONTENT, NEED, PROBLEM = "object", "content", "need", "problem"
"""Kinds of facts: an object exists; a blob's bytes exist; an object is named by another; something is wrong."""

PATHS, CATALOGUE, REFS = "paths", "catalogue", "refs"
"""Kinds of facts: a row of ``files``; the files of an origin according to ``repositories``, and its tree; it has refs.

A row of a line has the line's number as ``size``, its ``base``, the kind as ``text``, and as ``oid`` a digest of the
path or, for a root, the tree. Another row, of an earlier version, has its origin as ``text``.
"""

FACTS = pa.schema(
    [
        ("fact", pa.string()),
        ("table", pa.string()),
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("oid", pa.binary()),
        ("path", pa.string()),
        ("pos", pa.int64()),
        ("sha256", pa.binary()),
        ("size", pa.int64()),
        ("text", pa.string()),
        ("base", pa.int64()),
    ]
)
FACTS_TYPES = (
    "fact string, `table` string, bucket int, network bigint, oid binary, path string, pos bigint, sha256 binary, "
    "size bigint, text string, base bigint"
)
BATCH_ROWS, BIG_BATCH_ROWS = 4096, 64
OUT_ROWS = 8192
MOST_NAMED = 500_000
"""Named ids that are held in memory to yield each once."""

WHOLE_FILE = -1

Row = dict[str, Any]


@dataclass(slots=True)
class _Facts:
    """Collected facts of one row group."""

    table: str
    path: str
    bucket: int
    rows: list[tuple[object, ...]] = field(default_factory=list)
    named: set[tuple[int, bytes]] = field(default_factory=set)
    counts: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(
        self,
        fact: str,
        network: int | None,
        oid: bytes | None,
        pos: int | None = None,
        sha256: bytes | None = None,
        size: int | None = None,
        text: str | None = None,
        base: int | None = None,
    ) -> None:
        self.rows.append((fact, self.table, self.bucket, network, oid, self.path, pos, sha256, size, text, base))

    def problem(self, kind: Kind, text: str, network: int | None = None, oid: bytes | None = None) -> None:
        self.add(PROBLEM, network, oid, text=f"{kind.value} {text[:300]}")

    def needs(self, network: int, oids: Iterable[bytes]) -> None:
        """Add each id once per row group, or a few times if it names very many."""
        for oid in oids:
            if (network, oid) not in self.named:
                if len(self.named) >= MOST_NAMED:
                    self.named.clear()
                self.named.add((network, oid))
                self.add(NEED, network, oid)

    def take(self) -> pa.RecordBatch:
        rows, self.rows = self.rows, []
        columns = zip(*rows, strict=True) if rows else [()] * len(FACTS)
        arrays = [pa.array(values, f.type) for values, f in zip(columns, FACTS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=FACTS)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Turns places (rows of table, bucket, path and group) into facts."""

    storage: Storage

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Facts of all row groups at these places.

        Raises:
            StorageUnavailable: a file cannot be read at the moment.
        """
        places = sorted(
            (row["table"], row["bucket"], row["path"], row["group"]) for batch in batches for row in batch.to_pylist()
        )
        for (table, bucket, path), mine in groupby(places, key=lambda place: place[:3]):
            facts = _Facts(table, path, bucket)
            yield from self._file(facts, [place[3] for place in mine])
            yield facts.take()

    def _file(self, facts: _Facts, groups: list[int]) -> Iterator[pa.RecordBatch]:
        try:
            with open_parquet_file(self.storage, facts.path) as file:
                there = range(file.num_row_groups)
                if any(group not in there for group in groups if group != WHOLE_FILE):
                    facts.problem(Kind.FILE_UNREADABLE, "it has fewer row groups than its manifest says")
                for group in there if WHOLE_FILE in groups else [group for group in groups if group in there]:
                    try:
                        yield from _group(facts, file, group)
                    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
                        facts.problem(Kind.FILE_UNREADABLE, str(error).partition("\n")[0])
        except StoredFileDamaged as error:
            facts.problem(Kind.FILE_UNREADABLE, error.problem)


def _group(facts: _Facts, file: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    facts.named.clear()
    pos = sum(file.metadata.row_group(before).num_rows for before in range(group))
    columns, look = _LOOKS[facts.table]
    rows = BIG_BATCH_ROWS if "content" in columns else BATCH_ROWS
    for batch in file.iter_batches(
        rows, row_groups=[group], columns=["bucket", "network", *columns], use_threads=False
    ):
        for row in batch.to_pylist():
            if row["bucket"] != facts.bucket:
                facts.problem(Kind.OBJECT_DAMAGED, f"a row of bucket {row['bucket']}", row["network"], row.get("oid"))
            look(facts, row, pos)
            pos += 1
            if len(facts.rows) >= OUT_ROWS:
                yield facts.take()
    for (network, origin), count in facts.counts.items():
        facts.add(REFS, network, None, size=count, text=origin)
    facts.counts.clear()


def _object(facts: _Facts, row: Row, pos: int) -> None:
    """A commit, tree or tag."""
    codec, network, oid = CODECS[facts.table], row["network"], row["oid"]
    facts.add(OBJECT, network, oid, pos)
    try:
        body = codec.body(row)
    except CheckFailed as error:
        facts.problem(Kind.OBJECT_DAMAGED, f"its columns do not form an object: {error}", network, oid)
        return
    if object_id(codec.type, body) != oid:
        facts.problem(Kind.OBJECT_DAMAGED, "it does not hash to its id", network, oid)
        return
    facts.needs(network, links_of(codec.type, body))


def _blob(facts: _Facts, row: Row, pos: int) -> None:
    facts.add(OBJECT, row["network"], row["oid"], pos, row["sha256"], row["size"], row["stored"])


def _content(facts: _Facts, row: Row, pos: int) -> None:
    network, oid, content = row["network"], row["oid"], row["content"]
    if content is None or object_id(BLOB, content) != oid:
        facts.problem(Kind.OBJECT_DAMAGED, "it does not hash to its id", network, oid)
        return
    if row["size"] != len(content):
        facts.problem(Kind.OBJECT_DAMAGED, f"{len(content)} bytes, its size says {row['size']}", network, oid)
    facts.add(CONTENT, network, oid, pos, hashlib.sha256(content).digest(), len(content))


def _ref(facts: _Facts, row: Row, pos: int) -> None:
    facts.counts[row["network"], row["origin"]] = 1
    facts.needs(row["network"], [oid for oid in (row["target"], row["peeled"]) if oid is not None])


def _path(facts: _Facts, row: Row, pos: int) -> None:
    network, oid, kind, line = row["network"], row["oid"], row["kind"], row.get("line")
    if kind not in ("submodule", GONE) and oid is not None:
        facts.needs(network, [oid])
    if line is None:
        facts.add(PATHS, network, None, pos, text=row["origin"])
        return
    path = b"%s\0%s" % ((row["path"] or "").encode(), row["path_raw"] or b"")
    named = oid if kind == TREE else hashlib.sha256(path).digest()
    facts.add(PATHS, network, named, pos, size=line, text=kind, base=row["base"])


def _head_blob(facts: _Facts, row: Row, pos: int) -> None:
    facts.needs(row["network"], [row["oid"]])


def _repository(facts: _Facts, row: Row, pos: int) -> None:
    facts.add(CATALOGUE, row["network"], row.get("tree"), pos, size=row["files"], text=row["origin"])
    if row["head_commit"] is not None:
        facts.needs(row["network"], [row["head_commit"]])


_LOOKS: dict[str, tuple[list[str], Callable[[_Facts, Row, int], None]]] = {
    **{table: (["oid", *CODECS[table].columns], _object) for table in ("commits", "trees", "tags")},
    "blobs": (["oid", "sha256", "size", "stored"], _blob),
    "contents": (["oid", "size", "content"], _content),
    "refs": (["origin", "target", "peeled"], _ref),
    "files": (["origin", "path", "path_raw", "kind", "oid", "line", "base"], _path),
    "head_blobs": (["oid"], _head_blob),
    "repositories": (["origin", "files", "head_commit", "tree"], _repository),
}
EXAMINED = tuple(_LOOKS)
"""Tables that are examined."""
