"""Makes an archive that is elsewhere than where it was made, a copy above all, an archive of its place."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.context.archive import NoArchive, find_any_archive
from pipeline.context.run import Run, hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.copy.run_copy import read_copy_record
from pipeline.model.copied import CopyRecord
from pipeline.model.errors import UsageError
from pipeline.model.layout import ARCHIVE, CHECKSUMS, COPY, FORGES, RESULTS, RUNS, UNDERIVED, Load
from pipeline.model.tables import NAMESPACE, ORIGINS
from pipeline.read.inventory.ledger import add_recording
from pipeline.read.inventory.named import table_folders
from pipeline.read.inventory.record import Wanted, recorded
from pipeline.storage.documents import read_document
from pipeline.storage.interface import Storage
from pipeline.tables.snapshot.metadata import newest_metadata
from pipeline.tables.snapshot.relocated import Relocation

logger = logging.getLogger(__name__)

_ORIGINS = f"{NAMESPACE}.{ORIGINS.name}"
_AT_ONCE = 500
"""Files in one recording, with copies of up to 8 MB each; most have some KB."""


class CopyNotComplete(UsageError):
    """The first copy to this place was never completed."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return f"{self.location} never was a complete copy: run `pipeline copy` again, or use another copy"


@dataclass(frozen=True, slots=True)
class Relocated:
    """What was done: ``former`` is the URI of the former root, "" if the archive was in its place already."""

    location: str
    former: str
    tables: int
    files: int


def run_relocate(place: Workplace) -> Relocated:
    """Rewrite the metadata of all tables for the archive's place; every night stays as it is.

    A copy is first put back to the state that it was last completed with. May be called again after a kill at any
    point. The archive at the former place must not be written to any more: there would be two with the same nights.

    Raises:
        NoArchive, ArchiveFormatUnknown: as they say.
        CopyNotComplete: the place has only a part of a copy.
        ArchiveHeld: another run writes to this place.
        StoredFileDamaged: metadata cannot be read; what was done until then is done again next time.
    """
    if place.storage.stat(COPY) is None and find_any_archive(place.storage) is None:
        raise NoArchive(place.storage.root_uri)
    with hold(place, "relocate") as run:
        record = read_copy_record(run.storage)
        if record is not None and not record.tables:
            raise CopyNotComplete(run.storage.root_uri)
        if record is not None:
            _put_back(run, record)
        former, files, tables = "", 0, 0
        for name, folder, metadata in _tables(run.storage, record):
            root = _former_root(run.storage, folder, metadata)
            if record is None and _same(root, run.storage.root_uri):
                continue
            run.check_lease()
            relocation = Relocation(run.storage, root)
            relocation.move_table(folder, metadata)
            _record(run.storage, relocation.written)
            former, files, tables = root, files + len(relocation.written), tables + 1
            logger.info("%s: %d files of metadata rewritten", name, len(relocation.written))
        if record is not None:
            run.check_lease()
            run.storage.delete(COPY)
    return Relocated(place.storage.root_uri, former, tables, files)


def _put_back(run: Run, record: CopyRecord) -> None:
    """Make a copy what its record says, which a copy that was killed may have changed; and let no other copy go on."""
    storage = run.storage
    run.check_lease()
    storage.replace(COPY, record.model_copy(update={"relocating": True}).to_bytes())
    for path in (ARCHIVE, UNDERIVED):
        if path in record.documents:
            storage.replace(path, record.documents[path].encode())
        else:
            storage.delete(path)
    for entry in storage.list(RUNS):
        name = entry.path.rpartition("/")[2]
        if Load.named(name) is not None and name not in record.loads:
            storage.delete(entry.path, recursive=True)
    marks = set(record.marks)
    for folder in (RESULTS, FORGES, CHECKSUMS):  # what says that later rows are in the tables
        for entry in storage.walk(folder):
            if entry.path not in marks:
                storage.delete(entry.path)
    for name, folder in table_folders(storage).items():
        if name not in record.tables:
            storage.delete(folder, recursive=True)


def _tables(storage: Storage, record: CopyRecord | None) -> Iterator[tuple[str, str, str]]:
    """Name, folder and metadata of each table; ``origins``, by which readers know the place, is the last."""
    folders = table_folders(storage)
    for name in sorted(folders, key=lambda name: (name == _ORIGINS, name)):
        if record is not None:
            yield name, folders[name], record.tables[name]
        elif (newest := newest_metadata(storage, folders[name])) is not None:
            yield name, folders[name], newest[1]


def _former_root(storage: Storage, folder: str, metadata: str) -> str:
    def parse(data: bytes) -> str:
        location = str(json.loads(data)["location"])
        if not location.endswith(f"/{folder}"):
            raise ValueError(f"its location does not end in {folder}")
        return location.removesuffix(f"/{folder}")

    return read_document(storage, metadata, parse)


def _same(one: str, other: str) -> bool:
    """Whether two URIs name one folder; ``file:/a`` and ``file:///a`` do."""
    plain = [re.sub("^file:/+", "/", uri) for uri in (one, other)]
    return plain[0] == plain[1]


def _record(storage: Storage, paths: list[str]) -> None:
    for at in range(0, len(paths), _AT_ONCE):
        wanted = [Wanted(path, keep_copy=True) for path in paths[at : at + _AT_ONCE]]
        add_recording(storage, list(recorded(storage, wanted)))
