"""Which data files of a bucket have which ids: each file's footer is opened once, and the ids of small row groups stay.

A night's landed file is one small row group with rows of all networks that changed, so its bounds exclude none of
them: without its ids in memory, each changed network would open the files of every night. The row groups of a
compacted bucket are large, but have few networks each, so their bounds are enough.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fetch.planned_files import DataFile
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

KEPT_BYTES = 16 << 20
"""Most bytes of ids that are kept of one bucket: half a million ids."""

SMALL_ROWS = 1 << 15
"""Rows of the largest row group whose ids are kept."""

_ROW_BYTES = 32
"""An id, the offset of its bytes, its network, and its place as 32 bits each."""

_IDS = pa.schema([("network", pa.int64()), ("oid", pa.binary()), ("place", pa.int32())])


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


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group whose ids are not kept; ``bounds`` are its least and greatest network, None if unknown."""

    path: str
    number: int
    bounds: tuple[int, int] | None

    def may_hold(self, network: int) -> bool:
        return self.bounds is None or self.bounds[0] <= network <= self.bounds[1]


@dataclass(frozen=True, slots=True)
class _Ids:
    """Ids of small row groups sorted by network; ``places`` names the row groups, by the numbers in ``rows``."""

    rows: pa.Table
    networks: memoryview[int]
    places: Sequence[tuple[str, int]]

    def of(self, network: int) -> pa.Table:
        begin = bisect_left(self.networks, network)
        return self.rows.slice(begin, bisect_right(self.networks, network, begin) - begin)


@dataclass(slots=True)
class _Opened:
    """What is known of the files of a table that were opened so far."""

    files: set[str] = field(default_factory=set)
    kept: list[_Ids] = field(default_factory=list)
    others: list[_Group] = field(default_factory=list)


class IdIndex:
    """The ids of a bucket's data files; opens a file when a network that it may have is first looked up.

    Args:
        storage: where the archive is.
        files: returns a table's live data files.
    """

    def __init__(self, storage: Storage, files: Callable[[str], Sequence[DataFile]]) -> None:
        self._storage, self._files = storage, files
        self._opened: dict[str, _Opened] = {}
        self._left_bytes = KEPT_BYTES

    def find(self, table: str, network: int, wanted: pa.Array) -> Found:
        """Where a table has objects of a network with the wanted ids.

        Raises:
            StoredFileDamaged: a file cannot be read.
        """
        opened = self._opened.setdefault(table, _Opened())
        self._open(opened, [file for file in self._files(table) if file.may_hold(network)])
        oids: set[bytes] = set()
        holding: set[tuple[str, int]] = set()
        for ids in opened.kept:
            mine = ids.of(network)
            hits = mine.filter(pc.is_in(mine["oid"], value_set=wanted)) if len(mine) else mine
            oids.update(hits["oid"].to_pylist())
            holding.update(ids.places[place] for place in hits["place"].unique().to_pylist())
        unread = [(group.path, group.number) for group in opened.others if group.may_hold(network)]
        return Found(frozenset(oids), _by_file(sorted(holding)), _by_file(unread))

    def _open(self, opened: _Opened, files: Sequence[DataFile]) -> None:
        """Open those files that were not opened before; they count as opened only after all could be read."""
        new = [file.path for file in files if file.path not in opened.files]
        if not new:
            return
        left_bytes, others = self._left_bytes, []
        parts: list[pa.Table] = []
        places: list[tuple[str, int]] = []
        for path in new:
            with open_parquet_file(self._storage, path) as file:
                for number in range(file.num_row_groups):
                    size = file.metadata.row_group(number).num_rows * _ROW_BYTES
                    if not size:
                        continue
                    if size <= min(left_bytes, SMALL_ROWS * _ROW_BYTES):
                        left_bytes -= size
                        parts.append(_ids_in(file, number, len(places)))
                        places.append((path, number))
                    else:
                        others.append(_Group(path, number, file.bounds(number, "network")))
        if parts:
            opened.kept.append(_sorted(parts, places))
        opened.others += others
        opened.files.update(new)
        self._left_bytes = left_bytes
        pa.default_memory_pool().release_unused()


def _ids_in(file: ArchiveFile, group: int, place: int) -> pa.Table:
    rows = file.read_row_group(group, ["network", "oid"], use_threads=False).select(["network", "oid"])
    return rows.append_column("place", pa.repeat(pa.scalar(place, pa.int32()), len(rows))).cast(_IDS)


def _sorted(parts: Sequence[pa.Table], places: Sequence[tuple[str, int]]) -> _Ids:
    rows = pa.concat_tables(parts)
    rows = rows.take(pc.sort_indices(rows["network"])).combine_chunks()
    (networks,) = rows["network"].chunks
    return _Ids(rows, memoryview(networks.buffers()[1]).cast("q")[: len(rows)], places)


def _by_file(places: Iterable[tuple[str, int]]) -> tuple[RowGroups, ...]:
    groups: dict[str, list[int]] = {}
    for path, number in places:
        groups.setdefault(path, []).append(number)
    return tuple(RowGroups(path, tuple(numbers)) for path, numbers in groups.items())
