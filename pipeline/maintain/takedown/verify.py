"""Proves, by reading every file of the archive, that nothing holds what was taken down."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from pipeline.maintain.takedown.rewrite_file import UNREADABLE
from pipeline.maintain.takedown.runs import names_any, needles_of
from pipeline.model.layout import CHECKSUMS, FORGES, NIGHT_TAG, WAREHOUSE
from pipeline.model.listing import LISTINGS
from pipeline.model.tables import ALL, BY_NAME, BY_OBJECT, NAMESPACE, TREE
from pipeline.model.tombstone import ANYWHERE, NETWORK, OBJECT, ORIGIN, TAKEDOWNS, Tombstone
from pipeline.model.visit import TAKEN_DOWN
from pipeline.night.opt_outs import OPT_OUTS
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Entry, Storage
from pipeline.storage.parquet import open_parquet_file, parquet_in
from pipeline.storage.paths import is_temporary
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.snapshot.avro import avro_blocks

_THREADS = 8
_KEY_ROWS, _CONTENT_ROWS = 65_536, 256
_IN_TABLE = re.compile(rf"{WAREHOUSE}/{NAMESPACE}/(\w+)/data/")
_LANDED = re.compile(r"runs/[^/]+/(?:landing|quarantine)/.*/(\w+)(?:-\d+)?\.parquet")
_REFUSING = re.compile(
    rf"{WAREHOUSE}/{NAMESPACE}/(?:{TAKEDOWNS}|{OPT_OUTS}|{LISTINGS.name})/|{FORGES}/"
    r"|runs/[^/]+/plan/(?:tombstones/|kept_out\.jsonl)"
)
_EVIDENCE = re.compile(r"runs/[^/]+/quarantine/")


class Until(StrEnum):
    """When a file that still holds something goes."""

    REMOVED = "`pipeline takedown` or `maintain` has rewritten it"
    EXPIRED = "`pipeline maintain` runs, once maintain.snapshot_age_s has passed since the removal"
    SWEPT = "`pipeline maintain` sweeps it"
    LOADED = "its load is finished"
    EVIDENCE = "`pipeline maintain` deletes what audits left out, with the plan of its load"
    BY_HAND = "somebody deletes it manually"


@dataclass(frozen=True, slots=True)
class Holds:
    """A file that still holds something: the number of ``rows``, or 0 if a text names it."""

    path: str
    rows: int
    what: str
    until: Until


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the search looks for.

    Attributes:
        urls: URLs of origins.
        networks: networks that were taken down completely.
        objects: ids by network.
        anywhere: ids in any network.
        needles: byte strings of which a text contains one if it names any of the URLs.
    """

    urls: frozenset[str] = frozenset()
    networks: frozenset[int] = frozenset()
    objects: dict[int, frozenset[bytes]] = field(default_factory=dict)
    anywhere: frozenset[bytes] = frozenset()
    needles: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, stones: Collection[Tombstone]) -> Wanted:
        """Everything that some tombstones name."""
        objects: dict[int, set[bytes]] = {}
        for stone in stones:
            if stone.kind == OBJECT and stone.network is not None and stone.oid is not None:
                objects.setdefault(stone.network, set()).add(stone.oid)
        urls = frozenset(s.url for s in stones if s.kind == ORIGIN and s.url is not None)
        return cls(
            urls,
            frozenset(s.network for s in stones if s.kind == NETWORK and s.network is not None),
            {network: frozenset(ids) for network, ids in objects.items()},
            frozenset(s.oid for s in stones if s.kind == ANYWHERE and s.oid is not None),
            tuple(needles_of(urls)),
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """Number of files and bytes read, and the files that still hold something."""

    files: int
    size_bytes: int
    holds: tuple[Holds, ...]


def verify(spark: SparkSession, storage: Storage, wanted: Wanted) -> Verified:
    """Search all files of the archive, whether a table knows them or not.

    In the tables' files, landings and quarantine, a row counts if it is an object or belongs to an origin; so does a
    row of ``contents`` whose bytes have the id, whatever id it states. In other Parquet files, including results, every
    text is compared with the URLs, and every binary with the ids, directly and by its SHA-1. All other files (Avro
    inflated) are searched for the URLs, and so is each copy in a recording of checksums. An unreadable file counts as
    holding something. The tables of takedowns and opt-outs and the tombstones in plans are left out: they must name
    what they refuse. So are listings of forges: they name what a forge shows, archived or not.
    """
    referred = _referred(spark, storage)
    found = [entry for entry in storage.walk() if not _REFUSING.match(entry.path)]

    def look(entry: Entry) -> Holds | None:
        what = _look(storage, entry.path, wanted)
        return None if what is None else Holds(entry.path, what[0], what[1], _until(entry.path, referred))

    with ThreadPoolExecutor(_THREADS) as pool:
        holds = [held for held in pool.map(look, found) if held is not None]
    return Verified(len(found), sum(entry.size_bytes for entry in found), tuple(holds))


def _referred(spark: SparkSession, storage: Storage) -> dict[str, bool]:
    """Data files of all snapshots, and whether a reader of the current state or of a night finds them."""
    files: dict[str, bool] = {}
    for table in ALL:
        iceberg = MaintainedTable(spark, table.name)
        manifests = iceberg.manifests()
        live = {name: iceberg.live_files(handle) for name, handle in manifests.handles.items()}
        shown = {snapshot.id for snapshot in iceberg.named_snapshots(re.compile(f"{NIGHT_TAG}.*"))}
        for snapshot, names in manifests.of.items():
            for name in names:
                for uri in live[name]:
                    path = storage.path_of(uri) or uri
                    files[path] = files.get(path, False) or snapshot in shown
    return files


def _until(path: str, referred: dict[str, bool]) -> Until:
    if path in referred:
        return Until.REMOVED if referred[path] else Until.EXPIRED
    if is_temporary(path) or path.startswith(f"{WAREHOUSE}/{NAMESPACE}/"):
        return Until.SWEPT
    if path.startswith(f"{CHECKSUMS}/"):
        return Until.REMOVED
    if _EVIDENCE.match(path):
        return Until.EVIDENCE
    return Until.LOADED if path.startswith("runs/") else Until.BY_HAND


def _look(storage: Storage, path: str, wanted: Wanted) -> tuple[int, str] | None:
    """Number of rows of a file that hold something, and a description; None if none does."""
    if is_temporary(path):
        return 0, "it cannot be read: its upload was not finished"
    try:
        if path.startswith(f"{CHECKSUMS}/"):
            with open_parquet_file(storage, path) as recording:
                return _in_copies(recording, wanted)
        if path.endswith(".parquet"):
            with open_parquet_file(storage, path) as file:
                return _in_parquet(path, file, wanted)
        return _in_text(path, storage.read(path), wanted)
    except FileMissing:
        return None
    except UNREADABLE as error:
        return None if storage.stat(path) is None else (0, f"it cannot be read: {_why(error)}")


def _in_copies(recording: pq.ParquetFile, wanted: Wanted) -> tuple[int, str] | None:
    """The same for the copies in a recording."""
    found = [
        (rows, f"the copy of {path}: {what}")
        for batch in recording.iter_batches(64, columns=["path", "copy"])
        for path, copy in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if copy is not None and not _REFUSING.match(path)
        for rows, what in [_in_copy(path, copy, wanted)]
        if what
    ]
    return (sum(rows for rows, _ in found), "; ".join(what for _, what in found)) if found else None


def _in_copy(path: str, copy: bytes, wanted: Wanted) -> tuple[int, str]:
    try:
        if not path.endswith(".parquet"):
            return _in_text(path, copy, wanted) or (0, "")
        with parquet_in(BytesIO(copy), path) as file:
            return _in_parquet(path, file, wanted) or (0, "")
    except UNREADABLE as error:
        return 0, f"it cannot be read: {_why(error)}"


def _why(error: Exception) -> str:
    return error.problem if isinstance(error, StoredFileDamaged) else str(error)


def _in_parquet(path: str, file: pq.ParquetFile, wanted: Wanted) -> tuple[int, str] | None:
    match = _IN_TABLE.match(path) or _LANDED.fullmatch(path)
    table = match[1] if match and match[1] in BY_NAME else None
    rows = sum(_rows(file, wanted) if table is None else _rows_of(table, file, wanted))
    return (rows, "rows") if rows else None


def _in_text(path: str, text: bytes, wanted: Wanted) -> tuple[int, str] | None:
    parts = avro_blocks(text) if path.endswith(".avro") and wanted.needles else [text]
    return (0, "it names the URL") if any(names_any(part, wanted.needles) for part in parts) else None


def _rows_of(table: str, file: pq.ParquetFile, wanted: Wanted) -> Iterator[int]:
    """Doomed rows of a table's file, batch by batch."""
    names = set(file.schema_arrow.names)
    columns = [name for name in ("network", "oid", "origin", "url", "stored", "size", "kind") if name in names]
    for batch in file.iter_batches(_KEY_ROWS, columns=columns):
        yield pc.sum(_doomed(table, batch, wanted)).as_py() or 0
    if table == "contents" and wanted.anywhere:
        yield from _hashed(file, wanted.anywhere)


def _doomed(table: str, batch: pa.RecordBatch, wanted: Wanted) -> pa.Array:
    network = batch.column("network")
    none = pc.and_(pc.is_null(network), False)
    if table not in BY_OBJECT:
        name = batch.column("url" if table == "origins" else "origin")
        named = pc.fill_null(pc.is_in(name, value_set=pa.array(sorted(wanted.urls), name.type)), False)
        if table != "files":
            return named
        # Its lines name no origin, but the root tree that they stand for. An entry's id may stay, as in other trees.
        roots = pc.equal(batch.column("kind"), TREE)
        return pc.or_(named, pc.fill_null(pc.and_(roots, _among(batch, wanted)), False))
    oid = batch.column("oid").cast(pa.binary())
    found = pc.or_(none, pc.is_in(network, value_set=pa.array(sorted(wanted.networks), network.type)))
    for number in wanted.objects.keys() & set(pc.unique(network).to_pylist()):
        ids = pa.array(sorted(wanted.objects[number]), pa.binary())
        mine = pc.and_(pc.equal(network, number), pc.is_in(oid, value_set=ids))
        if table == "blobs":
            mine = pc.and_(mine, pc.not_equal(batch.column("stored"), TAKEN_DOWN))
        found = pc.or_(found, mine)
    anywhere = pc.is_in(oid, value_set=pa.array(sorted(wanted.anywhere), pa.binary()))
    if table == "blobs":
        anywhere = pc.and_(anywhere, pc.not_equal(batch.column("stored"), TAKEN_DOWN))
    return pc.fill_null(pc.or_(found, anywhere), False)


def _among(batch: pa.RecordBatch, wanted: Wanted) -> pa.Array:
    """Which rows are of a network that goes, or have an id that goes from theirs."""
    network, oid = batch.column("network"), batch.column("oid").cast(pa.binary())
    found = pc.is_in(network, value_set=pa.array(sorted(wanted.networks), network.type))
    for number in wanted.objects.keys() & set(pc.unique(network).to_pylist()):
        ids = pa.array(sorted(wanted.objects[number]), pa.binary())
        found = pc.or_(found, pc.and_(pc.equal(network, number), pc.is_in(oid, value_set=ids)))
    return found


def _hashed(file: pq.ParquetFile, ids: frozenset[bytes]) -> Iterator[int]:
    """Rows whose bytes have one of the ids although their own id is different."""
    for batch in file.iter_batches(_CONTENT_ROWS, columns=["oid", "content"]):
        rows = zip(batch.column("oid"), batch.column("content"), strict=True)
        yield sum(oid.as_py() not in ids and blob_id(content.as_py() or b"") in ids for oid, content in rows)


def blob_id(content: bytes) -> bytes:
    """Git's id of a blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()


def _rows(file: pq.ParquetFile, wanted: Wanted) -> Iterator[int]:
    """Rows of any other file that have a URL, an id, or the bytes of a blob in some column."""
    schema = file.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    binaries = [f.name for f in schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)]
    ids: Sequence[bytes] = sorted(wanted.anywhere)
    if not texts and not binaries:
        return
    for batch in file.iter_batches(_CONTENT_ROWS, columns=texts + binaries):
        found = pa.array([False] * len(batch))
        for name in texts:
            column = batch.column(name)
            found = pc.or_(
                found, pc.fill_null(pc.is_in(column, value_set=pa.array(sorted(wanted.urls), column.type)), False)
            )
        for name in binaries if ids else ():
            cells = batch.column(name).to_pylist()
            same = [
                cell is not None and (cell in wanted.anywhere or blob_id(cell) in wanted.anywhere) for cell in cells
            ]
            found = pc.or_(found, pa.array(same))
        yield pc.sum(found).as_py() or 0
