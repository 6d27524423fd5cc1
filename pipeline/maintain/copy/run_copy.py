"""Copies an archive to another storage, night by night, while others work on the original."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.copy.pinned import Pinned, SourceChanges, files_of, pin
from pipeline.maintain.copy.plan import File, Turn, missing, surplus
from pipeline.maintain.copy.send import Sender, put
from pipeline.model.copied import CopyRecord
from pipeline.model.errors import UsageError
from pipeline.model.layout import CHECKSUMS, COPY, FORGES, LEASE, RESULTS, RUNS, WAREHOUSE
from pipeline.read.inventory.ledger import read_ledger
from pipeline.read.inventory.named import table_folders
from pipeline.storage.bytes import hash_file, in_threads
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StorageError, StoredFileDamaged
from pipeline.storage.interface import Entry, Storage
from pipeline.storage.paths import is_beside, parent_of
from pipeline.tables.snapshot.metadata import HINT

logger = logging.getLogger(__name__)

ROUNDS = 5
"""Number of states that are tried; one that loses files on the way is replaced by a later one."""

SAY_EVERY_S = 10.0
_DOCUMENTS = (RUNS, RESULTS, FORGES, CHECKSUMS)
_LEASES = (LEASE, f"{LEASE.removesuffix('.json')}.d")


class CopyRefused(UsageError):
    """The destination is something that a copy would destroy."""

    def __init__(self, destination: str, why: str) -> None:
        super().__init__(destination, why)
        self.destination, self.why = destination, why

    def __str__(self) -> str:
        return f"{self.destination} {self.why}. Nothing was changed there"


@dataclass(slots=True)
class CopyReport:
    """What a copy did; ``nights`` are those that the copy has now, ``kept`` the files that it had already."""

    destination: str
    nights: tuple[str, ...] = ()
    files: int = 0
    size_bytes: int = 0
    kept: int = 0
    deleted: int = 0
    seconds: float = 0.0


def run_copy(place: Workplace, to: Storage, *, verify: bool = False) -> CopyReport:
    """Make a destination a copy of the archive as it is now; needs no lease of the archive.

    The destination is at its former state, readable, until the last file is there. May be called again after a kill at
    any point: what is copied stays.

    Args:
        to: an empty place, or an earlier copy of this archive.
        verify: read the copy's files and compare their checksums; else those of the right size are kept unread.

    Raises:
        CopyRefused: the destination is anything else.
        ArchiveHeld: another copy writes to the destination.
        LoadUnderWay, SourceChanges: there is no state that could be copied; try again later.
        StoredFileDamaged: a file of the archive is damaged; the copy is left at its former state.
        StorageError: of either side.
    """
    began = time.monotonic()
    check_apart(place.storage, to)
    check_destination(to, pin(place.storage))
    with hold(Workplace(place.config, to), "copy") as run:
        lost, report = "", CopyReport(to.root_uri)
        for _ in range(ROUNDS):
            state = pin(place.storage)
            record = _claim(place.storage, to, state)
            sender = Sender(place.storage, to, read_ledger(place.storage).entries, run.scratch)
            try:
                _Copying(sender, state, verify, report).copy(record, run.check_lease)
            except SourceChanges as error:
                if error.path == lost:  # a later state names it too
                    raise StoredFileDamaged(lost, "the file is gone") from error
                lost = error.path
                logger.info("%s is gone by now; going on with a later state", lost)
                continue
            report.seconds = round(time.monotonic() - began, 3)
            return report
    raise SourceChanges(lost)


def check_apart(source: Storage, to: Storage) -> None:
    """Make sure that neither place is in the other.

    Raises:
        CopyRefused: it is.
    """
    here, there = f"{source.root_uri}/", f"{to.root_uri}/"
    if here.startswith(there) or there.startswith(here):
        raise CopyRefused(to.root_uri, f"and the archive at {source.root_uri} are not apart")


def check_destination(to: Storage, state: Pinned) -> CopyRecord | None:
    """What an earlier copy of the same archive says; None for an empty place.

    Raises:
        CopyRefused: the destination is neither, or must not be overwritten.
    """
    record = read_copy_record(to)
    if record is None:
        if any(entry.path not in _LEASES and not is_beside(entry.path) for entry in to.list()):
            raise CopyRefused(to.root_uri, "is not empty, and no copy of an archive")
        return None
    if record.of != state.of:
        raise CopyRefused(to.root_uri, f"is a copy of another archive, which was at {record.source}")
    if record.relocating:
        raise CopyRefused(to.root_uri, "is on its way to be an archive of its own, see `pipeline relocate`")
    if record.sequence > state.sequence:
        raise CopyRefused(
            to.root_uri, f"is ahead of the archive: its newest night is {record.night}. Is this the right archive?"
        )
    return record


def read_copy_record(storage: Storage) -> CopyRecord | None:
    """``copy.json``; None for what is no copy.

    Raises:
        StoredFileDamaged: it cannot be parsed.
    """
    try:
        return read_document(storage, COPY, CopyRecord.model_validate_json)
    except FileMissing:
        return None


def _claim(source: Storage, to: Storage, state: Pinned) -> CopyRecord:
    """Say that the destination is a copy, before it gets its first file."""
    known = check_destination(to, state)
    if known is not None:
        return known
    record = CopyRecord(of=state.of, source=source.root_uri, night=None, sequence=0, copied_at=datetime.now(UTC))
    to.create(COPY, record.to_bytes())
    return record


class _Copying:
    """One try to copy one state."""

    def __init__(self, sender: Sender, state: Pinned, verify: bool, report: CopyReport) -> None:
        self.sender, self.state, self.verify, self.report = sender, state, verify, report
        self.source, self.to = sender.source, sender.to
        self.surplus: list[str] = []
        self.report.nights, self.report.kept = state.nights, 0

    def copy(self, before: CopyRecord, check_lease: Callable[[], None]) -> None:
        """Data first, then what names them, ``copy.json`` last; only then is deleted what nothing names any more."""
        for table in self.state.tables.values():
            wanted = list(files_of(self.source, table))
            metadata = f"{table.folder}/metadata"
            self._bring(table.name, wanted, [table.folder], keep={table.path, f"{metadata}/{HINT}"})
        self._bring("documents", self.state.documents, _DOCUMENTS, keep=self.state.changing)
        check_lease()
        for table in self.state.tables.values():
            put(self.to, table.path, table.data)
            put(self.to, f"{table.folder}/metadata/{HINT}", b"%d" % table.version)
        for path, data in self.state.changing.items():
            put(self.to, path, data)
        put(self.to, COPY, self._record(before).to_bytes())
        kept = {table.folder for table in self.state.tables.values()}
        gone = [folder for folder in table_folders(self.to).values() if folder not in kept]
        self.surplus += [entry.path for entry in _walked(self.to, gone)]
        self.report.deleted = sum(in_threads(self.to.delete, self.surplus))
        _remove_empty(self.to, {parent_of(path) for path in self.surplus})

    def _bring(self, what: str, wanted: Collection[File], folders: Iterable[str], *, keep: Collection[str]) -> None:
        """Copy what some folders of the copy lack, and note what they have too much."""
        there = {entry.path: entry for entry in _walked(self.to, folders)}
        named = {file.path for file in wanted}
        self.surplus += [path for path in surplus(named, there) if path not in keep]
        lacking = missing(wanted, there)
        if self.verify:
            sent_anyway = {file.path for file in lacking}
            for damaged in in_threads(self._damaged, [file for file in wanted if file.path not in sent_anyway]):
                if damaged is not None:
                    del there[damaged.path]
            lacking = missing(wanted, there)
        self.report.kept += len(wanted) - len(lacking)
        said, done = time.monotonic(), 0
        for turn in Turn:
            for file in in_threads(self._send, [file for file in lacking if file.turn is turn]):
                done += 1
                self.report.files += 1
                self.report.size_bytes += file.size_bytes
                if time.monotonic() - said > SAY_EVERY_S:
                    said = time.monotonic()
                    logger.info("%s: %d of %d files copied", what, done, len(lacking))

    def _send(self, file: File) -> File:
        self.sender.send(file)
        return file

    def _damaged(self, file: File) -> File | None:
        """The file if the copy's bytes are not those of the archive."""
        known = self.sender.sums.get(file.path)
        if known is None or file.turn is Turn.DOCUMENT:
            original = hash_file(self.source, file.path, with_side=False)
            if original is None:
                raise SourceChanges(file.path)
            known = original.size_bytes, original.sha256
        found = hash_file(self.to, file.path, with_side=False)
        if found is not None and (found.size_bytes, found.sha256) == known:
            return None
        logger.warning("%s of the copy does not match its checksum; it is copied again", file.path)
        return file

    def _record(self, before: CopyRecord) -> CopyRecord:
        return before.model_copy(
            update={
                "source": self.source.root_uri,
                "night": self.state.nights[-1] if self.state.nights else None,
                "sequence": self.state.sequence,
                "copied_at": datetime.now(UTC),
                "tables": {name: table.path for name, table in self.state.tables.items()},
                "loads": tuple(load.name for load in self.state.loads),
                "documents": {path: data.decode() for path, data in self.state.changing.items()},
                "marks": self.state.marks,
            }
        )


def _walked(storage: Storage, folders: Iterable[str]) -> Iterator[Entry]:
    """All files below some folders; those of one level are listed side by side."""
    level = list(folders)
    while level:
        below = []
        for entries in in_threads(storage.list, level):
            for entry in entries:
                if entry.is_dir:
                    below.append(entry.path)
                else:
                    yield entry
        level = below


def _remove_empty(storage: Storage, folders: Collection[str]) -> None:
    """Remove those of some folders that are empty, and parent folders that are empty then."""
    for path in sorted(folders, reverse=True):
        folder = path
        while folder and folder != WAREHOUSE and not storage.list(folder):
            try:
                storage.delete(folder)
            except StorageError:
                break
            folder = parent_of(folder)
