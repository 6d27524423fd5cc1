"""Records the files of a run when it ends, at a cost in proportion to what changed, not to the size of the archive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model.errors import PipelineError
from pipeline.model.layout import ARCHIVE, NIGHT_TAG, RUNS, WAREHOUSE
from pipeline.read.inventory.ledger import Recorded, add_recording, forget, last_state, tidy
from pipeline.read.inventory.loads import LoadFiles, read_loads, result_documents
from pipeline.read.inventory.named import NamedFile, Role, TableFiles, read_table, table_folders
from pipeline.storage.bytes import hash_file, in_threads
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage

logger = logging.getLogger(__name__)

COPIED_TABLES = frozenset(
    {"code.refs", "code.visits", "code.origins", "results.runs", "code.takedowns", "code.opt_outs"}
)
"""Tables whose rows exist nowhere else, and that no origin can provide again."""

USER_TABLES = frozenset({"code.origins", "code.takedowns", "code.opt_outs", "code.listings"})
"""Tables that people change, outside nights."""

MOST_COPIED_BYTES = 8 << 20
"""Iceberg's own size of a manifest. A larger file has no copy."""

MOST_RECORDINGS = 32
"""Number of small recordings that are left alone."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded; ``read_bytes`` had to be read back for it."""

    files: int
    read_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to record; ``known`` is its size and SHA-256 if its uploader computed them."""

    path: str
    keep_copy: bool
    known: tuple[int, bytes] | None = None


def keeps_copy(file: NamedFile) -> bool:
    """Whether the ledger keeps the bytes of a file: those of all metadata, and of irreplaceable data files."""
    return file.role is not Role.DATA or file.table in COPIED_TABLES


def record_changes(storage: Storage, uploaded: Mapping[str, tuple[int, bytes]] | None = None) -> Recording:
    """Record what tables and loads have gained since the last recording.

    An archive that never recorded starts after its last night but one; the first ``fsck`` records the rest. Damaged or
    missing files are left to ``fsck``.

    Args:
        uploaded: size and SHA-256, by path, of files whose uploader has just compared them; they are not read again.
    """
    began = time.monotonic()
    state = last_state(storage)
    tables_before: Mapping[str, Any] = state.get("tables", {})  # type: ignore[assignment]
    loads = [load for load in read_loads(storage, after=str(state.get("load", ""))) if load.finished]
    if not state:
        loads = loads[-1:]
    landed = {path: (said.size_bytes, bytes.fromhex(said.sha256)) for load in loads for path, said, _ in load.landed()}
    landed.update(uploaded or {})
    wanted, tables_now = _of_tables(storage, table_folders(storage), tables_before, landed)
    for path in _documents(storage, loads, first=not state):
        wanted[path] = Wanted(path, keep_copy=True)
    if not wanted:
        return Recording(0, 0, 0.0)
    last = max((load.load.name for load in loads), default=str(state.get("load", "")))
    rows = list(recorded(storage, wanted.values()))
    add_recording(storage, rows, {"tables": tables_now, "load": last})
    read_bytes = sum(row.size_bytes for row in rows if wanted[row.path].known is None)
    done = Recording(len(rows), read_bytes, round(time.monotonic() - began, 3))
    logger.info("checksums of %d files recorded in %.1f s, %d bytes read back", done.files, done.seconds, read_bytes)
    return done


def record_user_tables(storage: Storage) -> None:
    """The same, only for the tables that people change at any time.

    Needs no lease, and reads back no file that a running night has landed.
    """
    state = last_state(storage)
    before: Mapping[str, Any] = state.get("tables", {})  # type: ignore[assignment]
    folders = {name: folder for name, folder in table_folders(storage).items() if name in USER_TABLES}
    wanted, now = _of_tables(storage, folders, before, {})
    if wanted:
        rows = list(recorded(storage, wanted.values()))
        add_recording(storage, rows, {**state, "tables": {**before, **now}} if state else None)


def record_document(path: str, storage: Storage) -> None:
    """Record a document that has just been replaced, and nothing else. Needs no lease."""
    add_recording(storage, list(recorded(storage, [Wanted(path, keep_copy=True)])))


def keep_record(storage: Storage, record: Callable[[Storage], object] = record_changes) -> None:
    """Record after finished work: a failure here undoes nothing, the next recording does the rest."""
    try:
        record(storage)
    except PipelineError as error:
        logger.warning("checksums were not recorded: %s", error)


def _of_tables(
    storage: Storage,
    folders: Mapping[str, str],
    before: Mapping[str, Any],
    landed: Mapping[str, tuple[int, bytes]],
) -> tuple[dict[str, Wanted], dict[str, Any]]:
    """What tables have gained since ``before``, by path; and their state now."""
    wanted, now = {}, {}
    for name, folder in folders.items():
        table = _changed(storage, name, folder, before.get(name))
        sequence = max((s.sequence for s in table.snapshots.values()), default=0)
        now[name] = {"sequence": sequence, "metadata": table.metadata}
        for file in _new_files(table, before.get(name)):
            wanted[file.path] = Wanted(file.path, keeps_copy(file), landed.get(file.path))
    return wanted, now


def recorded(storage: Storage, wanted: Iterable[Wanted]) -> Iterator[Recorded]:
    """Each file with its checksum, and its bytes if they are kept; files that are gone are left out."""
    yield from (row for row in in_threads(lambda item: _recorded(storage, item), wanted) if row is not None)


def _recorded(storage: Storage, wanted: Wanted) -> Recorded | None:
    if wanted.known is not None and not wanted.keep_copy:
        return Recorded(wanted.path, *wanted.known)
    found = hash_file(storage, wanted.path, with_side=True)
    if found is None or found.side is False:
        return None
    if wanted.known is not None and wanted.known != (found.size_bytes, found.sha256):
        return Recorded(wanted.path, *wanted.known)
    small = wanted.keep_copy and found.size_bytes <= MOST_COPIED_BYTES
    try:
        return Recorded(wanted.path, found.size_bytes, found.sha256, storage.read(wanted.path) if small else None)
    except FileMissing:
        return None


def _changed(storage: Storage, name: str, folder: str, before: Mapping[str, Any] | None) -> TableFiles:
    if before is not None:
        return read_table(storage, name, folder, since=int(before["sequence"]))
    table = read_table(storage, name, folder, since=1 << 62)
    nights = sorted((tag, at) for tag, at in table.tags.items() if tag.startswith(NIGHT_TAG) and at in table.snapshots)
    since = table.snapshots[nights[-2][1]].sequence if len(nights) > 1 else -1
    return read_table(storage, name, folder, since=since)


def _new_files(table: TableFiles, before: Mapping[str, Any] | None) -> Iterator[NamedFile]:
    """Files that the inspected commits have written, and the versions of the metadata since."""
    versions = [*table.older, table.metadata]
    last = None if before is None else before.get("metadata")
    for path in versions[versions.index(last) + 1 :] if last in versions else versions:
        yield NamedFile(path, table.name, Role.METADATA)
    since = -1 if before is None else int(before["sequence"])
    for id_ in table.of:
        if table.snapshots[id_].sequence > since:
            yield NamedFile(table.snapshots[id_].manifest_list, table.name, Role.MANIFEST_LIST)
    for manifest in table.manifests.values():
        yield manifest.file
        yield from manifest.new


def _documents(storage: Storage, loads: Iterable[LoadFiles], *, first: bool) -> Iterator[str]:
    """Files of finished loads, and the lineage of results of their nights."""
    nights = set()
    for found in loads:
        yield from found.paths
        if found.load.is_night:
            nights.add(found.load.name)
    if nights:
        yield from (
            path for path in result_documents(storage) if path.rpartition("/")[2].removesuffix(".json") in nights
        )
    if first:
        yield ARCHIVE


def tidy_recordings(storage: Storage) -> int:
    """Drop deleted files from the recordings, and merge small ones; return how many were replaced.

    Records of deleted runs are useless, and a copy of what was taken down must not stay.
    """
    live = {ARCHIVE, *result_documents(storage)}
    for name, folder in table_folders(storage).items():
        table = read_table(storage, name, folder)
        if table.findings:
            return 0
        live.update(file.path for file in table.files())
    live.update(path for load in read_loads(storage) for path in load.paths)
    return tidy(storage, live, MOST_RECORDINGS)


def record_takedown(storage: Storage, scrubbed: Sequence[str], buckets: Collection[int]) -> None:
    """Remove what was taken down from the recordings, so that no repair brings it back; record the files as they are.

    Args:
        scrubbed: files and folders of ``runs/`` that were changed or deleted; only some of them after a kill.
        buckets: buckets whose plans of origins are gone, and whose data files of ``origins``, ``visits`` and ``refs``
            held some of it.
    """
    folders = tuple(f"{path}/" for path in scrubbed)
    places = tuple(f"/bucket={bucket}/" for bucket in buckets)

    def gone(path: str) -> bool:
        is_plan = path.startswith(f"{RUNS}/") and any(f"/plan/origins{place}" in path for place in places)
        return is_plan or path in scrubbed or path.startswith(folders)

    def uncopied(path: str) -> bool:
        return path.startswith(f"{WAREHOUSE}/") and "/data/" in path and any(place in path for place in places)

    forget(storage, gone, uncopied)
    changed = [path for path in scrubbed if (entry := storage.stat(path)) is not None and not entry.is_dir]
    add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in changed]))
    keep_record(storage)
