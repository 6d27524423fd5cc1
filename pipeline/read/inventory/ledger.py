"""Checksums of the archive's files, and copies of irreplaceable ones.

Iceberg keeps neither. A recording is one Parquet file, ``checksums/TIME-SHA256.parquet``, that never changes and whose
name has its own checksum. A row is a file of the archive: path, size, SHA-256 and, if the file is small and cannot be
fetched or computed again, its bytes. Any number of writers may add recordings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.model.layout import CHECKSUMS
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

SCHEMA = pa.schema([("path", pa.string()), ("size", pa.int64()), ("sha256", pa.binary()), ("copy", pa.binary())])
_NAME = re.compile(r"\d{8}T\d{12}-([0-9a-f]{64})\.parquet$")
_STATE = b"pipeline.state"
BATCH_ROWS = 65_536
MERGED_BYTES = 8 << 20
"""A recording of this size stays unchanged."""

PART_BYTES = 64 << 20
"""Bytes of copies per row group."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record of a file; ``copy`` holds its bytes, None if they are not kept or were not asked for."""

    path: str
    size_bytes: int
    sha256: bytes
    copy: bytes | None = None


@dataclass(slots=True)
class Ledger:
    """All recordings. If two have the same path, the later one counts."""

    entries: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def recordings(storage: Storage) -> list[str]:
    """Paths of all recordings, oldest first."""
    return [entry.path for entry in storage.list(CHECKSUMS) if _NAME.fullmatch(entry.path.rpartition("/")[2])]


def read_ledger(storage: Storage) -> Ledger:
    """All records, without copies: about 300 bytes of memory per file."""
    ledger = Ledger(names=recordings(storage))
    for path in ledger.names:
        try:
            _check_name(storage, path)
            for batch in _batches(storage, path, ["path", "size", "sha256"]):
                names, sizes, sums = (column.to_pylist() for column in batch.columns)
                ledger.entries.update(zip(names, zip(sizes, sums, strict=True), strict=True))
        except StoredFileDamaged as error:
            ledger.findings.append(Finding(Kind.FILE_CHECKSUM, error.problem, path))
    return ledger


def copies(storage: Storage, paths: Iterable[str]) -> dict[str, bytes]:
    """The bytes of those files that have a copy; each matches its checksum."""
    wanted, found = set(paths), dict[str, bytes]()
    for recording in reversed(recordings(storage) if wanted else []):
        try:
            for batch in _batches(storage, recording, ["path"]):
                if wanted.isdisjoint(batch["path"].to_pylist()):
                    continue
                for row in _copied(storage, recording, wanted - found.keys()):
                    found[row.path] = row.copy or b""
                break
        except StoredFileDamaged:
            continue
    return found


def copies_where(storage: Storage, wanted: Callable[[str, bytes], bool]) -> dict[str, bytes]:
    """The copies, by path, whose path and bytes are wanted and that match the ledger as a whole.

    Reads all copies.
    """
    entries = read_ledger(storage).entries
    return {
        row.path: row.copy
        for recording in recordings(storage)
        for row in _readable(storage, recording)
        if row.copy is not None and entries.get(row.path) == (row.size_bytes, row.sha256) and wanted(row.path, row.copy)
    }


def _copied(storage: Storage, recording: str, wanted: set[str]) -> Iterator[Recorded]:
    with open_parquet_file(storage, recording) as file:
        yield from (row for row in rows_of(file) if row.copy is not None and row.path in wanted)


def rows_of(file: pq.ParquetFile, groups: Sequence[int] | None = None, *, copied: bool = True) -> Iterator[Recorded]:
    """The rows of a recording; a copy that does not match its checksum is left out.

    Args:
        groups: row groups; None for all.
        copied: include copies.
    """
    for batch in file.iter_batches(64, row_groups=groups, columns=SCHEMA.names if copied else SCHEMA.names[:-1]):
        for row in batch.to_pylist():
            copy = row.get("copy")
            true = copy is not None and hashlib.sha256(copy).digest() == row["sha256"]
            yield Recorded(row["path"], row["size"], row["sha256"], copy if true else None)


def mend_recordings(storage: Storage) -> list[str]:
    """Record again what is still readable in damaged recordings and in no later one; delete these, return their paths.

    The next check records files without a readable record, as they are then.
    """
    damaged = {finding.path for finding in read_ledger(storage).findings}
    for path in sorted(damaged, reverse=True):
        later = {name for other in recordings(storage) if other > path for name in _paths_if_whole(storage, other)}
        add_recording(storage, {row.path: row for row in _readable(storage, path) if row.path not in later}.values())
        storage.delete(path)
    return sorted(damaged)


def _paths_if_whole(storage: Storage, recording: str) -> list[str]:
    try:
        _check_name(storage, recording)
        return list(_paths(storage, recording))
    except StoredFileDamaged:
        return []


def _readable(storage: Storage, recording: str) -> Iterator[Recorded]:
    """Rows of the readable row groups, if necessary without copies: pages have checksums of their own."""
    try:
        with open_parquet_file(storage, recording) as file:
            groups = file.num_row_groups
    except StoredFileDamaged:
        return
    for group in range(groups):
        for copied in (True, False):
            try:
                with open_parquet_file(storage, recording) as file:
                    rows = list(rows_of(file, [group], copied=copied))
            except (StoredFileDamaged, LookupError, TypeError, ValueError):
                continue
            yield from rows
            break


def last_state(storage: Storage) -> dict[str, object]:
    """The state in the newest recording that has one; empty if there is none."""
    for path in reversed(recordings(storage)):
        try:
            with open_parquet_file(storage, path) as file:
                said = (file.schema_arrow.metadata or {}).get(_STATE)
        except StoredFileDamaged:
            continue
        if said is not None:
            found: dict[str, object] = json.loads(said)
            return found
    return {}


def add_recording(storage: Storage, rows: Iterable[Recorded], state: Mapping[str, object] | None = None) -> str | None:
    """Write a recording; return its path, None if there is nothing to record.

    Args:
        state: the progress of the recorder, which ``last_state`` returns next time.
    """
    schema = SCHEMA if state is None else SCHEMA.with_metadata({_STATE: json.dumps(state).encode()})
    sink = pa.BufferOutputStream()
    written = 0
    with pq.ParquetWriter(
        sink, schema, compression="zstd", compression_level=9, write_page_checksum=True, use_dictionary=False
    ) as writer:
        for part in _parts(sorted(rows, key=lambda row: row.path)):
            columns = [[r.path for r in part], [r.size_bytes for r in part], [r.sha256 for r in part]]
            arrays = [pa.array(c, f.type) for c, f in zip([*columns, [r.copy for r in part]], SCHEMA, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(part))
            written += len(part)
    if not written and state is None:
        return None
    data = sink.getvalue().to_pybytes()
    path = f"{CHECKSUMS}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{hashlib.sha256(data).hexdigest()}.parquet"
    storage.create(path, data)
    return path


def tidy(storage: Storage, live: Container[str], most: int) -> int:
    """Drop deleted files from recordings, with their copies, and merge small recordings; return how many were replaced.

    A reader finds the old ones, the new ones or both; they agree.

    Args:
        live: paths that are kept.
        most: number of small recordings that are left alone.
    """
    ledger = read_ledger(storage)
    if ledger.findings:
        return 0
    replaced = [path for path in ledger.names if any(name not in live for name in _paths(storage, path))]
    for path in replaced:
        _replace(storage, ledger, [path], live)
    small = [e.path for e in storage.list(CHECKSUMS) if _NAME.search(e.path) and e.size_bytes < MERGED_BYTES]
    if len(small) > most:
        _replace(storage, ledger, small, live)
        replaced += small
    return len(replaced)


def forget(storage: Storage, gone: Callable[[str], bool], uncopied: Callable[[str], bool]) -> None:
    """Drop some files from all recordings, and copies of others: what was taken down must not come back from here."""
    mend_recordings(storage)
    ledger = read_ledger(storage)
    for path in ledger.names:
        if any(gone(name) or uncopied(name) for name in _paths(storage, path)):
            _replace(storage, ledger, [path], _Kept(gone), uncopied)


@dataclass(frozen=True, slots=True)
class _Kept:
    gone: Callable[[str], bool]

    def __contains__(self, path: object) -> bool:
        return not self.gone(str(path))


def _keep_all(path: str) -> bool:
    return False


def _replace(
    storage: Storage,
    ledger: Ledger,
    recordings_: Sequence[str],
    live: Container[str],
    uncopied: Callable[[str], bool] = _keep_all,
) -> None:
    """Replace some recordings with one that has the whole ledger's records of their files."""
    kept: dict[str, Recorded] = {}
    for path in recordings_:
        with open_parquet_file(storage, path) as file:
            for batch in file.iter_batches(64):
                for row in batch.to_pylist():
                    name = row["path"]
                    if name in live and ledger.entries.get(name) == (row["size"], row["sha256"]):
                        known = kept.get(name)
                        copy = row["copy"] if known is None or known.copy is None else known.copy
                        kept[name] = Recorded(name, row["size"], row["sha256"], None if uncopied(name) else copy)
    state = last_state(storage)
    if kept or state:
        add_recording(storage, kept.values(), state or None)
    for path in recordings_:
        storage.delete(path)


def _paths(storage: Storage, recording: str) -> Iterator[str]:
    for batch in _batches(storage, recording, ["path"]):
        yield from batch["path"].to_pylist()


def _parts(rows: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    part: list[Recorded] = []
    size = 0
    for row in rows:
        part.append(row)
        size += 200 + len(row.copy or b"")
        if size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _check_name(storage: Storage, path: str) -> None:
    match = _NAME.fullmatch(path.rpartition("/")[2])
    assert match is not None
    found = hashlib.sha256()
    with storage.open(path) as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            found.update(chunk)
    if found.hexdigest() != match[1]:
        raise StoredFileDamaged(path, "it does not match the checksum in its name")


def _batches(storage: Storage, path: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with open_parquet_file(storage, path) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns)
