"""One state of an archive that others write to meanwhile: its tables, its documents, its finished loads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.context.archive import begun_loads
from pipeline.maintain.copy.plan import File, Turn
from pipeline.model.errors import ExitCode, PipelineError
from pipeline.model.layout import ARCHIVE, CHECKSUMS, FORGES, RESULTS, UNDERIVED, WAREHOUSE, Load, night_of
from pipeline.model.tables import ALL, NAMESPACE, ORIGINS
from pipeline.model.tombstone import TAKEDOWNS
from pipeline.read.inventory.finding import Kind
from pipeline.read.inventory.ledger import recordings
from pipeline.read.inventory.named import Role, TableFiles, read_table, table_folders
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Entry, Storage
from pipeline.storage.paths import is_beside
from pipeline.tables.snapshot.metadata import newest_metadata

LOOKS = 5
_ORIGINS = f"{NAMESPACE}.{ORIGINS.name}"
_TAKEDOWNS = f"{NAMESPACE}.{TAKEDOWNS}"
_TURNS = {Role.MANIFEST: Turn.MANIFEST, Role.MANIFEST_LIST: Turn.MANIFEST_LIST}


class LoadUnderWay(PipelineError):
    """A load is in some tables and not yet in others: this state is nobody's."""

    retryable = True
    exit_code = ExitCode.ARCHIVE_HELD

    def __init__(self, load: str) -> None:
        super().__init__(load)
        self.load = load

    def __str__(self) -> str:
        return (
            f"the load {self.load} is being published. Copy when it is finished; if its run has ended, `pipeline "
            "nightly`, or `pipeline backfill origins`, finishes it"
        )


class SourceChanges(PipelineError):
    """The archive changed whenever it was looked at, or lost a file that was to be copied."""

    retryable = True

    def __init__(self, path: str = "") -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        lost = f", it has lost {self.path}" if self.path else ""
        return f"the archive has changed while it was copied{lost}. Copy again: what is copied stays"


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """A version of a table's metadata: its file's path, number and bytes."""

    name: str
    folder: str
    path: str
    version: int
    data: bytes

    @property
    def document(self) -> dict[str, Any]:
        """Parsed.

        Raises:
            StoredFileDamaged: it cannot be.
        """
        try:
            found: dict[str, Any] = json.loads(self.data)
        except ValueError as error:
            raise StoredFileDamaged(self.path, f"its content is invalid: {error}") from error
        return found


@dataclass(frozen=True, slots=True)
class Pinned:
    """A state.

    Attributes:
        tables: by full name, in the order in which a copy gets them. Takedowns come late, as rows that they no longer
            hide must be gone by then, and ``origins``, which shows nights, is the last.
        loads: the finished ones, whose rows are in the tables.
        documents: their files and those of results, forges and checksums.
        marks: paths of the latter.
        changing: the content of ``archive.json`` and of what else is replaced in place, by path.
        of, sequence: the id and the last commit of ``origins``.
        nights: dates, sorted.
    """

    tables: Mapping[str, PinnedTable]
    loads: tuple[Load, ...]
    documents: tuple[File, ...]
    marks: tuple[str, ...]
    changing: Mapping[str, bytes]
    of: str
    sequence: int
    nights: tuple[str, ...]


def pin(storage: Storage) -> Pinned:
    """The current state, without a lease.

    A load that is not yet being published is not part of it. What says that something is in a table is read before
    the tables, as after a kill; takedowns are the first table, and must still be the same at the end.

    Raises:
        LoadUnderWay: a load is being published, or was when its run ended.
        SourceChanges: somebody published or retired nights at every look.
        StoredFileDamaged: metadata cannot be read.
    """
    for _ in range(LOOKS):
        try:
            found = _look(storage)
        except FileMissing:
            continue
        if found is not None:
            return found
    raise SourceChanges


def _look(storage: Storage) -> Pinned | None:
    loads = _finished(storage)
    changing = {path: data for path in (ARCHIVE, UNDERIVED) if (data := _read(storage, path)) is not None}
    early = [*_documents(storage.walk(RESULTS)), *_documents(storage.walk(FORGES)), *_recordings(storage)]
    hiding = _hiding(storage)
    tables = _tables(storage)
    origins = tables[_ORIGINS].document
    nights = _nights(origins)
    documents = early[:]
    for load in loads:
        documents += _documents(_of_load(storage, load))
    whole = all(nights <= _nights(document) for document in _of_nights(tables))
    if not whole or loads != _finished(storage) or hiding != _hiding(storage):
        return None
    return Pinned(
        tables, loads, tuple(documents), tuple(file.path for file in early), changing, origins["table-uuid"],
        int(origins["last-sequence-number"]), tuple(sorted(nights)),
    )  # fmt: skip


def _hiding(storage: Storage) -> tuple[int, str] | None:
    """The version of what says which rows must go."""
    return newest_metadata(storage, f"{WAREHOUSE}/{NAMESPACE}/{TAKEDOWNS}")


def _finished(storage: Storage) -> tuple[Load, ...]:
    loads = begun_loads(storage)
    for load, finished in loads.items():
        if not finished and storage.stat(load.publishing) is not None and storage.stat(load.finished) is None:
            raise LoadUnderWay(load.name)
    return tuple(load for load, finished in loads.items() if finished)


def _tables(storage: Storage) -> dict[str, PinnedTable]:
    folders = table_folders(storage)
    first = (_TAKEDOWNS, _ORIGINS)
    found = {}
    for name in [*(name for name in first if name in folders), *sorted(folders.keys() - {*first})]:
        newest = newest_metadata(storage, folders[name])
        if newest is not None:
            found[name] = PinnedTable(name, folders[name], newest[1], newest[0], storage.read(newest[1]))
    if _ORIGINS not in found:
        raise StoredFileDamaged(f"{WAREHOUSE}/{NAMESPACE}/{ORIGINS.name}", "the table has no metadata")
    return {name: found[name] for name in sorted(found, key=lambda name: (name == _ORIGINS, name == _TAKEDOWNS, name))}


def _of_nights(tables: Mapping[str, PinnedTable]) -> Iterator[dict[str, Any]]:
    """Metadata of the tables that have every night."""
    for table in ALL:
        name = f"{NAMESPACE}.{table.name}"
        if name in tables and (document := tables[name].document).get("snapshots"):
            yield document


def _nights(document: Mapping[str, Any]) -> set[str]:
    nights = (night_of(tag) for tag in document.get("refs", {}))
    return {night.isoformat() for night in nights if night is not None}


def _read(storage: Storage, path: str) -> bytes | None:
    try:
        return storage.read(path)
    except FileMissing:
        return None


def _recordings(storage: Storage) -> Iterator[File]:
    known = set(recordings(storage))
    for entry in storage.list(CHECKSUMS):
        if entry.path in known:
            yield File(entry.path, entry.size_bytes, Turn.DATA)


def _documents(entries: Iterator[Entry]) -> Iterator[File]:
    for entry in entries:
        if not is_beside(entry.path):
            yield File(entry.path, entry.size_bytes, Turn.DOCUMENT, entry.modified_at)


def _of_load(storage: Storage, load: Load) -> Iterator[Entry]:
    """Files of a finished load; what fetch tasks left, and what an audit left out, is of no use elsewhere."""
    for entry in storage.list(load.root):
        if not entry.is_dir:
            yield entry
        elif entry.path not in (load.landings, load.quarantine):
            yield from storage.walk(entry.path)


def files_of(storage: Storage, table: PinnedTable) -> Iterator[File]:
    """All files that the snapshots of a table name.

    Raises:
        SourceChanges: one is gone, as snapshots expire.
        StoredFileDamaged: one of the metadata cannot be read.
    """

    def read(path: str) -> bytes:
        return table.data if path == table.path else storage.read(path)

    named = read_table(storage, table.name, table.folder, read, metadata=table.path)
    _no_findings(named)
    sizes = {entry.path: entry.size_bytes for entry in storage.list(f"{table.folder}/metadata")}
    for file in named.files():
        if file.role in (Role.METADATA, Role.OLDER_METADATA):
            continue
        size = file.size_bytes if file.size_bytes is not None else sizes.get(file.path)
        if size is None:
            raise SourceChanges(file.path)
        yield File(file.path, size, _TURNS.get(file.role, Turn.DATA))


def _no_findings(table: TableFiles) -> None:
    for finding in table.findings:
        if finding.kind is Kind.FILE_MISSING:
            raise SourceChanges(finding.path)
        raise StoredFileDamaged(finding.path, finding.problem)
