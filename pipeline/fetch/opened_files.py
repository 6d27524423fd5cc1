"""What is known of data files that were opened: the ids of their small row groups, and bounds of the others.

All of it can be written to a file on scratch, from which it is mapped rather than read.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

ID_COLUMNS = ["network", "oid"]
ROW_BYTES = 32
"""An id, the offset of its bytes, its network, and its place as 32 bits each."""

_IDS = pa.schema([("network", pa.int64()), ("oid", pa.binary()), ("place", pa.int32())])
_REST = b"git-lakehouse.opened"

Place = tuple[str, int]
"""A row group: the path of its file, and its number there."""


@dataclass(frozen=True, slots=True)
class Group:
    """A row group whose ids are not kept; ``bounds`` are its least and greatest network, None if unknown."""

    place: Place
    bounds: tuple[int, int] | None

    def may_hold(self, network: int) -> bool:
        """Whether it may have rows of a network."""
        return self.bounds is None or self.bounds[0] <= network <= self.bounds[1]


@dataclass(frozen=True)
class OpenedFiles:
    """Some files of one table.

    Attributes:
        paths: of all of them.
        ids: rows of ``ID_COLUMNS`` and ``place``, of all row groups whose ids are kept, sorted by network.
        places: the row groups that these rows are in; ``place`` counts them from 0.
        others: the other row groups that have rows.
    """

    paths: frozenset[str]
    ids: pa.Table
    places: Sequence[Place]
    others: Sequence[Group]

    @classmethod
    def of(cls, paths: Iterable[str], read: Sequence[tuple[Place, pa.Table]], others: Sequence[Group]) -> OpenedFiles:
        """Files of which some row groups were read.

        Args:
            read: row groups whose ids are kept, with their ``ID_COLUMNS``.
        """
        return cls(frozenset(paths), _sorted([rows for _, rows in read]), [place for place, _ in read], others)

    @property
    def kept_bytes(self) -> int:
        """What the ids take in memory."""
        return len(self.ids) * ROW_BYTES

    def find(self, network: int, wanted: pa.Array) -> tuple[list[bytes], list[Place]]:
        """Those of the wanted ids that are kept for a network, and the row groups that have them."""
        begin = bisect_left(self._networks, network)
        mine = self.ids.slice(begin, bisect_right(self._networks, network, begin) - begin)
        hits = mine.filter(pc.is_in(mine["oid"], value_set=wanted)) if len(mine) else mine
        return hits["oid"].to_pylist(), [self.places[place] for place in hits["place"].unique().to_pylist()]

    @cached_property
    def _networks(self) -> Sequence[int]:
        (chunk,) = self.ids["network"].chunks or [pa.array([], pa.int64())]
        values: memoryview[int] = memoryview(chunk.buffers()[1] or b"").cast("q")
        return values[: len(chunk)]

    def write(self, path: Path) -> None:
        """Write all of it to a new file.

        Raises:
            OSError: it cannot be written.
        """
        others = [(*group.place, group.bounds) for group in self.others]
        rest = json.dumps({"paths": sorted(self.paths), "places": self.places, "others": others})
        schema = _IDS.with_metadata({_REST: rest.encode()})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(self.ids)

    @classmethod
    def mapped(cls, path: Path) -> OpenedFiles:
        """What was written to a file, whose pages all processes share.

        Raises:
            OSError, ArrowException: it cannot be mapped, or was not written so.
        """
        with pa.memory_map(str(path)) as source:
            ids = pa.ipc.open_file(source).read_all()
        rest = json.loads(ids.schema.metadata[_REST])
        others = [Group((file, group), bounds and (bounds[0], bounds[1])) for file, group, bounds in rest["others"]]
        places = [(file, group) for file, group in rest["places"]]
        return cls(frozenset(rest["paths"]), ids.replace_schema_metadata(), places, others)


def _sorted(parts: Sequence[pa.Table]) -> pa.Table:
    """All rows in one piece; each has the number of its part as its ``place``."""
    if not parts:
        return _IDS.empty_table()
    ends = pa.array(accumulate(map(len, parts)), pa.int32())
    part_of_row = pa.RunEndEncodedArray.from_arrays(ends, pa.array(range(len(parts)), pa.int32()))
    rows = pa.concat_tables(parts).select(ID_COLUMNS).append_column("place", pc.run_end_decode(part_of_row)).cast(_IDS)
    return rows.take(pc.sort_indices(rows["network"])).combine_chunks()
