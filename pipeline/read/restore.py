"""Restore a repository from the tables: the refs of a night, and exactly the objects that they lead to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import CheckFailed, UsageError
from pipeline.fetch.scratch import locked_folder
from pipeline.git.pack_writer import ObjectDamaged, PackWriter
from pipeline.git.restore import write_repository
from pipeline.model.origin import OriginState
from pipeline.model.visit import VisitStatus
from pipeline.read.history import History
from pipeline.read.network_objects import NetworkObjects
from pipeline.read.packing import pack_contents, packing, tasks
from pipeline.read.status import OriginNotFound
from pipeline.read.stored import StoredTables
from pipeline.rules.negotiation import Ref
from pipeline.rules.restore import lay_out
from pipeline.snapshot.rows import ROW_ID, Group
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage

_FEWEST_TASKS = 2
"""Fewer tasks are packed in this process."""


class ObjectsMissing(CheckFailed):
    """The archive lacks objects that a repository needs."""

    def __init__(self, url: str, count: int, example: str) -> None:
        super().__init__(url, count, example)
        self.url, self.count, self.example = url, count, example

    def __str__(self) -> str:
        return f"{self.url} needs {self.count} objects that the archive lacks, such as {self.example}"


class NeverArchived(UsageError):
    """No visit to the origin succeeded by that night, so its content is unknown."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} was never archived: no visit succeeded; `pipeline status {self.url}` shows why"


@dataclass(frozen=True, slots=True)
class RestoredRepository:
    """What was written.

    Attributes:
        not_stored: number of known objects that the archive does not keep, such as blobs over the size limit.
        refs_not_stored: number of refs to them, which are left out.
        refs_left_out: number of refs left out because git refuses their names.
        refs_plain: number of symbolic refs written as plain ones; see ``rules.restore.Layout``.
    """

    url: str
    night: date | None
    directory: Path
    refs: int
    objects: int
    not_stored: int
    refs_not_stored: int
    refs_left_out: int
    refs_plain: int

    @property
    def is_whole(self) -> bool:
        """Whether no object is missing."""
        return not self.not_stored


def restore_repository(
    storage: Storage, url: str, directory: Path, scratch: Path, night: date | None = None
) -> RestoredRepository:
    """Write a bare repository as of a night, without Spark.

    Args:
        directory: must not exist, or be empty.
        scratch: local folder for the network's commits, tags and trees, and parts of the pack, while restoring.
        night: None means the newest sealed night, or the current state of an archive without one.

    Raises:
        NotAnArchive: there are no tables.
        NightNotFound: there is no such night.
        OriginNotFound: by that night the archive had not visited such an origin.
        NeverArchived: it had, but no visit succeeded.
        StoredFileDamaged: a file is damaged.
        ObjectsMissing: the archive is damaged; nothing is written.
        UsageError: the directory is in use.
        DirectoryFailed: its disk is full.
        ScratchFailed: the disk of scratch is full.
    """
    tables = StoredTables(storage, night)
    network, bucket = _place(tables, url)
    shown = _refs(tables, url, network, bucket)
    if not shown and not _ever_ended_well(tables, url, bucket):
        raise NeverArchived(url)
    objects = NetworkObjects(tables, network, bucket)
    absent = objects.not_stored()
    layout = lay_out(shown, absent)
    tips = set(layout.refs.values())
    if layout.head.oid is not None:
        tips.add(layout.head.oid)
    with locked_folder(scratch, "restore") as folder, History(folder) as history:
        for found in objects.skeleton():
            history.add(*found)
        wanted = history.reachable(tips)
        not_stored = absent & (wanted | {ref.target for ref in shown.values() if ref.target is not None})
        lacking = {oid for oid in wanted if oid not in history} - not_stored
        groups = objects.contents(lacking)
        if lacking:
            raise ObjectsMissing(url, len(lacking), min(lacking).hex())
        fill = partial(_fill, objects, history, wanted, tasks(groups), folder)
        written = write_repository(directory, fill, layout.refs, layout.head, layout.symrefs)
    return RestoredRepository(
        url,
        tables.night,
        directory,
        written.refs,
        written.objects,
        len(not_stored),
        len(layout.not_stored),
        len(layout.left_out),
        len(layout.plain) + len(written.plain),
    )


def _fill(
    objects: NetworkObjects,
    history: History,
    wanted: set[bytes],
    work: list[list[Group]],
    scratch: Path,
    pack: PackWriter,
) -> None:
    """Write everything; other processes pack the contents meanwhile, unless there are few."""
    if len(work) < _FEWEST_TASKS:
        _add_skeleton(objects, history, wanted, pack)
        for groups in work:
            pack_contents(objects.storage, groups, pack)
        return
    with packing(objects.storage, work, scratch) as parts:
        _add_skeleton(objects, history, wanted, pack)
        for part in parts:
            pack.append(part)
            part.path.unlink()


def _add_skeleton(objects: NetworkObjects, history: History, wanted: set[bytes], pack: PackWriter) -> None:
    try:
        for found in history.objects(wanted):
            pack.add(found)
    except ObjectDamaged as error:
        path = objects.file_of(error.type, error.oid)
        raise StoredFileDamaged(path, f"it holds other bytes than those of {error.oid.hex()}") from error


def _place(tables: StoredTables, url: str) -> tuple[int, int]:
    """The network and bucket of an origin that was visited by the night."""
    columns = ("network", "bucket", "state", "last_visit", "added_at")
    rows = tables.rows("origins", columns, {"url": url}) if url not in tables.hidden.urls else ()
    visited = [row for row in rows if row["last_visit"] is not None]
    if not visited:
        raise OriginNotFound(url)
    best = min(visited, key=_rank)
    return best["network"], best["bucket"]


def _rank(origin: Mapping[str, Any]) -> tuple[int, float, float, int]:
    """The order of ``tables.doubles.one_row_a_url``."""
    set_by_people = {str(OriginState.OPTED_OUT): -2, str(OriginState.PAUSED): -1}.get(origin["state"], 0)
    added_at = -math.inf if origin["added_at"] is None else origin["added_at"].timestamp()
    return set_by_people, -origin["last_visit"].timestamp(), added_at, origin["network"]


def _ever_ended_well(tables: StoredTables, url: str, bucket: int) -> bool:
    good = {str(status) for status in VisitStatus if status.ok}
    return any(row["status"] in good for row in tables.rows("visits", ["status"], {"origin": url}, bucket))


def _refs(tables: StoredTables, url: str, network: int, bucket: int) -> dict[bytes, Ref]:
    """The refs of an origin by name: of each the change published last, as in ``tables.refs``, unless it deleted it."""
    columns = ("name", "name_raw", "target", "symref", "symref_raw", ROW_ID)
    last: dict[tuple[str, bytes | None], dict[str, Any]] = {}
    for row in tables.rows("refs", columns, {"network": network, "origin": url}, bucket):
        key = row["name"], row["name_raw"]
        if key not in last or row[ROW_ID] > last[key][ROW_ID]:
            last[key] = row
    refs = {}
    for row in last.values():
        symref = _exact(row, "symref")
        name = _exact(row, "name")
        if name is not None and (row["target"] is not None or symref is not None):
            refs[name] = Ref(row["target"], symref)
    return refs


def _exact(row: Mapping[str, Any], name: str) -> bytes | None:
    raw, text = row[f"{name}_raw"], row[name]
    return raw if raw is not None else None if text is None else text.encode()
