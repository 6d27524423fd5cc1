"""Every file that a table names, from its metadata down: read as files, so that damage is reported and skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from pipeline.model.errors import CheckFailed
from pipeline.model.layout import NIGHT_TAG, WAREHOUSE
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.storage.bytes import hash_file
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage
from pipeline.storage.paths import side_path
from pipeline.tables.snapshot.avro import AvroDamaged, read_avro
from pipeline.tables.snapshot.metadata import HINT, newest_metadata

_DELETED = 2
"""Status of a manifest's entry whose file is deleted."""

T = TypeVar("T")


class Role(StrEnum):
    """The role of a file in its table."""

    METADATA = "metadata"
    OLDER_METADATA = "older metadata"
    MANIFEST_LIST = "manifest list"
    MANIFEST = "manifest"
    DATA = "data"
    DELETES = "deletes"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a table names. If its size is unknown, ``size_bytes`` is None and ``groups`` (row groups) is 0."""

    path: str
    table: str
    role: Role
    size_bytes: int | None = None
    bucket: int | None = None
    groups: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as in the metadata."""

    id: int
    sequence: int
    manifest_list: str


@dataclass(frozen=True, slots=True)
class TableManifest:
    """A manifest as in manifest lists, and its files; ``sequence`` is that of the commit that wrote it."""

    file: NamedFile
    sequence: int
    files: tuple[NamedFile, ...]
    new: tuple[NamedFile, ...]


@dataclass(slots=True)
class TableFiles:
    """One table, as far as it can be read; ``findings`` has the rest.

    Attributes:
        folder: path below the archive's root.
        older: earlier versions of the metadata that the current one still names.
        of: the manifests of each snapshot.
    """

    name: str
    folder: str
    metadata: str = ""
    older: tuple[str, ...] = ()
    current: int | None = None
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    of: dict[int, tuple[str, ...]] = field(default_factory=dict)
    manifests: dict[str, TableManifest] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def files(self) -> Iterator[NamedFile]:
        """Every file that is named, once."""
        seen: set[str] = set()
        for file in self._all():
            if file.path not in seen:
                seen.add(file.path)
                yield file

    def _all(self) -> Iterator[NamedFile]:
        if self.metadata:
            yield NamedFile(self.metadata, self.name, Role.METADATA)
        yield from (NamedFile(path, self.name, Role.OLDER_METADATA) for path in self.older)
        for snapshot in self.snapshots.values():
            yield NamedFile(snapshot.manifest_list, self.name, Role.MANIFEST_LIST)
        for manifest in self.manifests.values():
            yield manifest.file
            yield from manifest.files

    def live(self, snapshot: int) -> Iterator[NamedFile]:
        """Data files and deletes of a snapshot."""
        for path in self.of.get(snapshot, ()):
            if path in self.manifests:
                yield from self.manifests[path].files

    def tags_at(self) -> dict[int, list[str]]:
        """Tagged snapshots with their tags."""
        found: dict[int, list[str]] = {}
        for tag, snapshot in self.tags.items():
            found.setdefault(snapshot, []).append(tag)
        return found

    def nights_of(self, path: str) -> tuple[str, ...]:
        """Names of the nights that cannot be read without a file."""
        nights = {tag.removeprefix(NIGHT_TAG): at for tag, at in self.tags.items() if tag.startswith(NIGHT_TAG)}
        return tuple(sorted(night for night, at in nights.items() if at in self.snapshots and self._needs(at, path)))

    def _needs(self, snapshot: int, path: str) -> bool:
        return (
            path in (self.snapshots[snapshot].manifest_list, self.metadata)
            or path in self.of.get(snapshot, ())
            or any(path == file.path for file in self.live(snapshot))
        )


def table_folders(storage: Storage) -> dict[str, str]:
    """The folders of an archive's tables, by full name such as ``code.commits``."""
    return {
        f"{namespace.path.rpartition('/')[2]}.{table.path.rpartition('/')[2]}": table.path
        for namespace in storage.list(WAREHOUSE)
        if namespace.is_dir
        for table in storage.list(namespace.path)
        if table.is_dir
    }


ReadFile = Callable[[str], bytes]
"""Reads a whole file by its path; may return the copy of a damaged one."""


def read_table(
    storage: Storage,
    name: str,
    folder: str,
    read: ReadFile | None = None,
    *,
    since: int | None = None,
    metadata: str | None = None,
) -> TableFiles:
    """Everything that a table names, as far as it can be read.

    Args:
        read: reads a file; the storage's own function if None.
        since: read only manifests that commits after this sequence number wrote; None for all.
        metadata: path of a version of the metadata that need not be the newest, which None stands for.
    """
    table = TableFiles(name, folder)
    newest = newest_metadata(storage, folder) if metadata is None else (0, metadata)
    if newest is None:
        table.findings.append(Finding(Kind.FILE_MISSING, "the table has no metadata", f"{folder}/metadata", name))
        return table
    read = read or storage.read
    table.metadata = newest[1]
    document = _guarded(table, table.metadata, lambda path: _metadata(storage, table, read(path)))
    if document is not None:
        if metadata is None:
            _check_hint(storage, table, newest[0])
        for snapshot in table.snapshots.values():
            if since is None or snapshot.sequence > since:
                _guarded(table, snapshot.manifest_list, partial(_manifests, storage, table, snapshot, read, since))
    return table


def _guarded(table: TableFiles, path: str, action: Callable[[str], T]) -> T | None:
    """The result of reading a file; None, and a finding, if it is damaged or gone."""
    try:
        return action(path)
    except FileMissing:
        table.findings.append(Finding(Kind.FILE_MISSING, "the file is gone", path, table.name))
    except (CheckFailed, KeyError, TypeError, ValueError, AttributeError) as error:
        why = str(error) if isinstance(error, CheckFailed) else f"its content is invalid: {error!r}"
        table.findings.append(Finding(Kind.FILE_UNREADABLE, why[:300], path, table.name))
    return None


def _metadata(storage: Storage, table: TableFiles, data: bytes) -> bool:
    document: dict[str, Any] = json.loads(data)
    table.older = tuple(_path(storage, entry["metadata-file"]) for entry in document.get("metadata-log", ()))
    for entry in document.get("snapshots", ()):
        id_ = int(entry["snapshot-id"])
        place = _path(storage, entry["manifest-list"])
        table.snapshots[id_] = Snapshot(id_, int(entry["sequence-number"]), place)
    for ref, to in document.get("refs", {}).items():
        if to["type"] == "tag":
            table.tags[ref] = int(to["snapshot-id"])
    current = document.get("current-snapshot-id")
    table.current = None if current in (None, -1) else int(current)
    named: list[tuple[str, int | None]] = [*table.tags.items(), ("the current state", table.current)]
    for what, at in named:
        if at is not None and at not in table.snapshots:
            problem = f"{what} names snapshot {at}, which the table does not have"
            table.findings.append(Finding(Kind.NIGHT_INCOMPLETE, problem, table.metadata, table.name))
    return True


def _check_hint(storage: Storage, table: TableFiles, version: int) -> None:
    """The hint is written after a commit; from it, Iceberg searches for newer versions. A bad hint may stop it."""
    path = f"{table.folder}/metadata/{HINT}"
    try:
        said = storage.read(path)
    except FileMissing:
        said = b""
    if said.strip() != b"%d" % version:
        problem = f"it says {said[:20]!r}, the newest version is {version}"
        table.findings.append(Finding(Kind.VERSION_HINT, problem, path, table.name))
    elif (hashed := hash_file(storage, path, with_side=True)) is not None and hashed.side is False:
        problem = "Hadoop's checksum file beside it is wrong"
        table.findings.append(Finding(Kind.SIDE_CHECKSUM, problem, side_path(path), table.name))


def _manifests(
    storage: Storage, table: TableFiles, snapshot: Snapshot, read: ReadFile, since: int | None, manifest_list: str
) -> None:
    paths = []
    for row in read_avro(read(manifest_list)):
        path, sequence = _path(storage, row["manifest_path"]), int(row.get("sequence_number") or 0)
        paths.append(path)
        if path in table.manifests or (since is not None and sequence <= since):
            continue
        file = NamedFile(path, table.name, Role.MANIFEST, int(row["manifest_length"]))
        table.manifests[path] = TableManifest(file, sequence, (), ())
        inside = _guarded(table, path, lambda at: _entries(storage, table.name, read(at), since or 0))
        if inside is not None:
            table.manifests[path] = TableManifest(file, sequence, *inside)
    table.of[snapshot.id] = tuple(paths)


def _entries(
    storage: Storage, table: str, data: bytes, since: int
) -> tuple[tuple[NamedFile, ...], tuple[NamedFile, ...]]:
    """The live files of a manifest, and those among them that commits after a sequence number added."""
    live, new = [], []
    for row in read_avro(data):
        if row["status"] == _DELETED:
            continue
        found = row["data_file"]
        bucket = found["partition"].get("bucket")
        role = Role.DELETES if found.get("content") else Role.DATA
        groups = len(found.get("split_offsets") or ())
        path = _path(storage, found["file_path"])
        file = NamedFile(path, table, role, int(found["file_size_in_bytes"]), bucket, groups)
        live.append(file)
        added = row.get("file_sequence_number")
        if added is None or added > since:
            new.append(file)
    return tuple(live), tuple(new)


def _path(storage: Storage, uri: str) -> str:
    path = storage.path_of(uri)
    if path is None:
        raise AvroDamaged(f"it names {uri[:200]}, which is outside the archive")
    return path
