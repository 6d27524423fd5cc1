"""The refs of origins in a plan, read one network at a time: those of a bucket need not fit in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rules.negotiation import Ref
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file

BATCH_ROWS = 1024
COLUMNS = ["network", "url", "name", "target", "peeled", "symref"]

MOST_HELD_BYTES = 32 << 20
"""Bytes in memory of the largest row group whose rows are held. Plan makes them of 1 MiB, but a name that
repeats takes none of that, and may be long."""

Place = tuple[int, str]
"""Where an origin's rows are: its network and URL."""

NESTED = "refs"
"""A column of ``plan/origins`` in plans of earlier versions, which held all refs of an origin in one row."""


class PlannedRef(NamedTuple):
    """A ref of an origin as it stood after the last good visit.

    Attributes:
        name: None in the one row of an origin without refs.
    """

    url: str
    name: bytes | None
    ref: Ref
    peeled: bytes | None


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its least and greatest network and URL as the footer says, None if it does not."""

    number: int
    networks: tuple[int, int] | None
    urls: tuple[str, str] | None

    def may_hold(self, network: int, url: str | None) -> bool:
        """Whether it may have rows of a network. Nothing checks the footer: a missing row is noticed elsewhere."""
        return _within(network, self.networks) and (url is None or _within(url, self.urls))

    def may_overlap(self, first: Place, last: Place) -> bool:
        """Whether it may have rows between two places, inclusive; it may if the footer says nothing."""
        if self.networks is None or self.urls is None:
            return True
        least, greatest = self.networks
        begins = (least, self.urls[0] if least == greatest else "")
        return begins <= last and (greatest > first[0] or (greatest == first[0] and self.urls[1] >= first[1]))


@dataclass(frozen=True, slots=True)
class _Held:
    """The rows of one row group, which usually are those of many networks."""

    path: str
    group: int
    rows: pa.Table
    networks: Sequence[int]

    def of(self, network: int, url: str | None) -> Iterator[dict[str, Any]]:
        begin = bisect_left(self.networks, network)
        mine = self.rows.slice(begin, bisect_right(self.networks, network, begin) - begin)
        for batch in mine.to_batches(BATCH_ROWS):
            yield from (batch if url is None else batch.filter(_match(batch, network, url))).to_pylist()


class PlannedRefs:
    """The refs of one bucket. Every origin of its plan has a row, so that lost rows are noticed.

    A worker takes up networks in the order of the rows, and a row group has those of thousands: its rows are kept until
    another one is needed, and files' footers for good. So a network's rows cost the same however many others there are.

    Args:
        storage: where the plan is.
        paths: paths of the plan's files with refs, whose rows are sorted by network, URL and name.
    """

    def __init__(self, storage: Storage, paths: Sequence[str]) -> None:
        self.paths = paths
        self._storage = storage
        self._groups: dict[str, Sequence[_Group]] = {}
        self._held: _Held | None = None
        self._large: set[tuple[str, int]] = set()

    def of(self, network: int, url: str | None = None) -> Iterator[PlannedRef]:
        """Rows of a network, or of one origin in it.

        Raises:
            StoredFileDamaged: a file cannot be read.
        """
        for path in self.paths:
            yield from map(_planned, self._rows(path, network, url))

    def between(self, first: Place, last: Place) -> Iterator[PlannedRef]:
        """Rows of all origins between two places, inclusive, in plans that are not ``NESTED``.

        Raises:
            StoredFileDamaged: a file cannot be read.
        """
        for path in self.paths:
            wanted = [group.number for group in self._groups_of(path) if group.may_overlap(first, last)]
            with open_parquet_file(self._storage, path) as file:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=wanted, columns=COLUMNS):
                    yield from map(_planned, batch.filter(_match_between(batch, first, last)).to_pylist())

    def _groups_of(self, path: str) -> Sequence[_Group]:
        if path not in self._groups:
            with open_parquet_file(self._storage, path) as file:
                self._groups[path] = _groups(file)
        return self._groups[path]

    def _rows(self, path: str, network: int, url: str | None) -> Iterator[dict[str, Any]]:
        for group in self._groups_of(path):
            if not group.may_hold(network, url):
                continue
            held = self._hold(path, group.number)
            if held is not None:
                yield from held.of(network, url)
            else:
                with open_parquet_file(self._storage, path) as file:
                    yield from _streamed(file, group.number, network, url)

    def _hold(self, path: str, group: int) -> _Held | None:
        """The rows of a row group; None if they are too large to hold."""
        held = self._held
        if held is not None and (held.path, held.group) == (path, group):
            return held
        if (path, group) in self._large:
            return None
        self._held = None
        with open_parquet_file(self._storage, path) as file:
            rows = None if NESTED in file.schema_arrow.names else _rows_in(file, group)
        if rows is None:
            self._large.add((path, group))
            return None
        self._held = _Held(path, group, rows, _numbers(rows["network"]))
        return self._held


def _groups(file: ArchiveFile) -> Sequence[_Group]:
    return [
        _Group(number, _said(file, number, "network"), _said(file, number, "url"))
        for number in range(file.num_row_groups)
    ]


def _rows_in(file: ArchiveFile, group: int) -> pa.Table | None:
    """The rows of a row group in one piece; None as soon as they take too much memory."""
    batches, size_bytes = [], 0
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=COLUMNS):
        size_bytes += batch.nbytes
        if size_bytes > MOST_HELD_BYTES:
            return None
        batches.append(batch)
    return pa.Table.from_batches(
        batches, pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
    ).combine_chunks()


def _said(file: ArchiveFile, group: int, column: str) -> tuple[Any, Any] | None:
    said = file.statistics(group, column)
    return None if said is None or not said.has_min_max else (said.min, said.max)


def _within(value: Any, bounds: tuple[Any, Any] | None) -> bool:  # noqa: ANN401 - a network or a URL
    return bounds is None or bool(bounds[0] <= value <= bounds[1])


def _numbers(networks: pa.ChunkedArray) -> Sequence[int]:
    (chunk,) = networks.chunks or [pa.array([], pa.int64())]
    values: memoryview[int] = memoryview(chunk.buffers()[1] or b"").cast("q")
    return values[chunk.offset : chunk.offset + len(chunk)]


def _streamed(file: ArchiveFile, group: int, network: int, url: str | None) -> Iterator[dict[str, Any]]:
    """The rows in a row group that is too large to hold."""
    if NESTED not in file.schema_arrow.names:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=COLUMNS):
            yield from batch.filter(_match(batch, network, url)).to_pylist()
        return
    for batch in file.iter_batches(1, row_groups=[group], columns=["network", "url", NESTED]):
        for origin in batch.filter(_match(batch, network, url)).to_pylist():
            none = {"name": None, "target": None, "peeled": None, "symref": None}
            for ref in sorted(origin[NESTED] or [none], key=itemgetter("name")):
                yield {"network": origin["network"], "url": origin["url"], **ref}


def _match(batch: pa.RecordBatch, network: int, url: str | None) -> pa.Array:
    of_network = pc.equal(batch.column("network"), network)
    return of_network if url is None else pc.and_(of_network, pc.equal(batch.column("url"), url))


def _match_between(batch: pa.RecordBatch, first: Place, last: Place) -> pa.Array:
    networks, urls = batch.column("network"), batch.column("url")
    after = pc.or_(
        pc.greater(networks, first[0]), pc.and_(pc.equal(networks, first[0]), pc.greater_equal(urls, first[1]))
    )
    before = pc.or_(pc.less(networks, last[0]), pc.and_(pc.equal(networks, last[0]), pc.less_equal(urls, last[1])))
    return pc.and_(after, before)


def _planned(row: dict[str, Any]) -> PlannedRef:
    return PlannedRef(row["url"], row["name"], Ref(row["target"], row["symref"]), row["peeled"])
