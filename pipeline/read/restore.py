"""Restore a repository from the tables: the refs of a night, and exactly the objects that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pipeline.git.pack_writer import ObjectDamaged, PackWriter
from pipeline.git.restore import write_repository
from pipeline.read.history import History
from pipeline.read.network_objects import NetworkObjects, ObjectsMissing
from pipeline.read.one_origin import place_of, refs_of
from pipeline.read.packing import pack_contents, packing, tasks
from pipeline.read.stored import StoredTables
from pipeline.rules.restore import lay_out
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.scratch import locked_folder
from pipeline.tables.snapshot.rows import Group

_FEWEST_TASKS = 2
"""Fewer tasks are packed in this process."""


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
    place = place_of(tables, url)
    network, bucket = place.network, place.bucket
    shown = refs_of(tables, url, place)
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
