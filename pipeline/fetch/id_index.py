"""Which data files of a bucket have which ids: each file's footer is opened once, and the ids of small row groups stay.

A night's landed file is one small row group with rows of all networks that changed, so its bounds exclude none of
them: without its ids in memory, each changed network would open the files of every night. The row groups of a
compacted bucket are large, but have few networks each, so their bounds are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.fetch.opened_files import ID_COLUMNS, ROW_BYTES, Group, OpenedFiles, Place
from pipeline.fetch.planned_files import DataFile
from pipeline.fetch.shelf import Shelf
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

KEPT_BYTES = 16 << 20
"""Most bytes of ids that are kept of one bucket: half a million ids."""

SMALL_ROWS = 1 << 15
"""Rows of the largest row group whose ids are kept."""

MANY_FILES = 8
"""So many files to open at once are worth a look at what other workers have opened, and are shared with them."""


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Some row groups of one file."""

    path: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Where ids of a network are.

    Attributes:
        oids: the ids found in memory.
        holding: row groups that have some of these.
        unread: row groups that may have others, which only reading them tells.
    """

    oids: frozenset[bytes]
    holding: tuple[RowGroups, ...]
    unread: tuple[RowGroups, ...]


@dataclass(slots=True)
class _Known:
    """What is known of the files of a table that were opened so far."""

    paths: set[str] = field(default_factory=set)
    kept: list[OpenedFiles] = field(default_factory=list)
    others: list[Group] = field(default_factory=list)

    def without(self, paths: Sequence[str]) -> list[str]:
        """Those of the files that were not opened."""
        return [path for path in paths if path not in self.paths]

    def add(self, opened: OpenedFiles) -> None:
        self.paths |= opened.paths
        self.others += opened.others
        if len(opened.ids):
            self.kept.append(opened)


class IdIndex:
    """The ids of a bucket's data files; opens a file when a network that it may have is first looked up.

    Args:
        storage: where the archive is.
        files: returns a table's live data files.
        shelf: what other workers of the task have opened; None if there are none.
    """

    def __init__(
        self, storage: Storage, files: Callable[[str], Sequence[DataFile]], shelf: Shelf | None = None
    ) -> None:
        self._storage, self._files, self._shelf = storage, files, shelf
        self._known: dict[str, _Known] = {}
        self._left_bytes = KEPT_BYTES

    def find(self, table: str, network: int, wanted: pa.Array) -> Found:
        """Where a table has objects of a network with the wanted ids.

        Raises:
            StoredFileDamaged: a file cannot be read.
        """
        known = self._known.setdefault(table, _Known())
        self._open(table, known, [file.path for file in self._files(table) if file.may_hold(network)])
        oids: set[bytes] = set()
        holding: set[Place] = set()
        for opened in known.kept:
            found, places = opened.find(network, wanted)
            oids.update(found)
            holding.update(places)
        unread = dict.fromkeys(group.place for group in known.others if group.may_hold(network))
        return Found(frozenset(oids), _by_file(sorted(holding)), _by_file(unread))

    def _open(self, table: str, known: _Known, paths: Sequence[str]) -> None:
        """Open those files that were not opened before; they count as opened only after all could be read."""
        new = known.without(paths)
        shelf = self._shelf if len(new) >= MANY_FILES else None
        if shelf is not None:
            for opened in shelf.take(table):
                if opened.kept_bytes <= self._left_bytes:
                    self._add(known, opened)
            new = known.without(new)
        if new:
            opened = self._read(new)
            self._add(known, opened)
            if shelf is not None and len(new) >= MANY_FILES:
                shelf.put(table, opened)
            pa.default_memory_pool().release_unused()

    def _add(self, known: _Known, opened: OpenedFiles) -> None:
        self._left_bytes -= opened.kept_bytes
        known.add(opened)

    def _read(self, paths: Sequence[str]) -> OpenedFiles:
        left_bytes = self._left_bytes
        kept: list[tuple[Place, pa.Table]] = []
        others: list[Group] = []
        for path in paths:
            with open_parquet_file(self._storage, path) as file:
                for number in range(file.num_row_groups):
                    size = file.metadata.row_group(number).num_rows * ROW_BYTES
                    if not size:
                        continue
                    if size <= min(left_bytes, SMALL_ROWS * ROW_BYTES):
                        left_bytes -= size
                        kept.append(((path, number), file.read_row_group(number, ID_COLUMNS, use_threads=False)))
                    else:
                        others.append(Group((path, number), file.bounds(number, "network")))
        return OpenedFiles.of(paths, kept, others)


def _by_file(places: Iterable[Place]) -> tuple[RowGroups, ...]:
    groups: dict[str, list[int]] = {}
    for path, number in places:
        groups.setdefault(path, []).append(number)
    return tuple(RowGroups(path, tuple(numbers)) for path, numbers in groups.items())
