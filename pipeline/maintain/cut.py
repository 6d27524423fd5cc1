"""Cuts a bucket into pieces, from its ids, names and sizes. Runs in a worker of Spark, once per bucket.

Usually a piece is a range of whole networks. A network that is too large alone is cut between names, and one name
between arrivals; since an object may have arrived twice under different names, its doubles are found here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.maintain.sources import Piece, Source, among, batches, deleted, shortened
from pipeline.model.tables import Table
from pipeline.rules.compaction import ROW_BYTES, Bounds, Key, KeyRange, Weighed, compaction_s, exceeds, ranges
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_data_file
from pipeline.tables.snapshot.deletion_vectors import Positions

BATCH_ROWS = 1 << 16
MOST_APART = 64
"""Batches whose weights are kept apart before they are summed up."""

MOST_NAMES = 1 << 19
"""Names whose weights are kept apart before small neighbours are summed up; each takes some 550 bytes."""

SMALL = 64
"""Neighbours are summed up as long as they weigh at most this part of the bounds."""

_OID_START = np.dtype("<u8")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)


def cut(storage: Storage, table: Table, files: Sequence[Source], bounds: Bounds) -> list[Piece]:
    """The pieces of a bucket, in order; none if it has no rows.

    Keeps in memory, per network, five numbers and its row groups and, of networks that are cut, eight bytes per row
    and 550 for each of some 500,000 names.

    Raises:
        StoredFileDamaged: a file is damaged or gone.
        StorageError: a file cannot be read, or is not below the archive's root.
    """
    survey = _survey(storage, table, files)
    giants = {n for n, keys, raw, seconds in survey.weights() if exceeds(keys, raw, seconds, bounds)}
    within = _Within(bounds, MOST_NAMES)
    if giants:
        within.read(storage, table, [survey.only(source, giants) for source in files], giants)
    found = ranges(_in_order(survey, within, giants), bounds)
    doubled, raised = _doubles(storage, table, files, survey, within) if giants else ({}, {})
    return [_piece(survey, files, rows, doubled, raised) for rows in found]


@dataclass(slots=True)
class _Survey:
    """Networks of a bucket, their weights, and the row groups that hold them."""

    networks: list[Ints] = field(default_factory=list)
    keys: list[Ints] = field(default_factory=list)
    raw: list[Ints] = field(default_factory=list)
    seconds: list[Floats] = field(default_factory=list)
    groups: dict[int, dict[int, Ints]] = field(default_factory=dict)

    def add(self, number: int, group: int, networks: Ints, keys: Ints, raw: Ints, seconds: Floats) -> None:
        """Add the live rows of a batch: their networks, and the weights of each."""
        held, places = np.unique(networks, return_inverse=True)
        self.keys.append(_sums(places, keys, len(held)))
        self.raw.append(_sums(places, raw, len(held)))
        self.seconds.append(_sums(places, seconds, len(held)))
        self.networks.append(held)
        of_file = self.groups.setdefault(number, {})
        of_file[group] = np.union1d(of_file[group], held) if group in of_file else held
        if len(self.networks) > MOST_APART:
            self.weights()

    def weights(self) -> list[tuple[int, int, int, float]]:
        """Network, bytes of keys, raw bytes and CPU seconds, in order of networks."""
        if not self.networks:
            return []
        networks, places = np.unique(np.concatenate(self.networks), return_inverse=True)
        keys = _sums(places, np.concatenate(self.keys), len(networks))
        raw = _sums(places, np.concatenate(self.raw), len(networks))
        seconds = _sums(places, np.concatenate(self.seconds), len(networks))
        self.networks, self.keys, self.raw, self.seconds = [networks], [keys], [raw], [seconds]
        return list(zip(networks.tolist(), keys.tolist(), raw.tolist(), seconds.tolist(), strict=True))

    def only(self, source: Source, networks: Collection[int]) -> Source:
        """The row groups of a source that hold some of these networks."""
        wanted = np.array(sorted(networks), np.int64)
        mine = self.groups.get(source.number, {})
        return replace(source, groups=tuple(g for g, held in mine.items() if np.isin(held, wanted).any()))

    def touching(self, source: Source, rows: KeyRange) -> Source:
        """The row groups of a source that may hold rows of a range."""
        found = []
        for group, held in self.groups.get(source.number, {}).items():
            low = 0 if rows.low is None else int(np.searchsorted(held, rows.low.network))
            high = len(held) if rows.high is None else _before(held, rows.high)
            if low < high:
                found.append(group)
        return replace(source, groups=tuple(found))


def _before(networks: Ints, high: Key) -> int:
    """How many of some sorted networks have rows before a key."""
    first = high.network if high == Key(high.network) else high.network + 1
    return int(np.searchsorted(networks, first))


def _survey(storage: Storage, table: Table, files: Sequence[Source]) -> _Survey:
    survey = _Survey()
    for source in files:
        with open_data_file(storage, source.uri) as file:
            gone = deleted(storage, source)
            for group, begin, batch in batches(file, source, _columns(table), BATCH_ROWS):
                live = ~among(gone, begin, len(batch))
                keys, raw, seconds = _weigh(file, table, group, batch)
                networks = batch.column("network").to_numpy()[live]
                survey.add(source.number, group, networks, keys[live], raw[live], seconds[live])
    return survey


def _columns(table: Table) -> list[str]:
    return [name for name in ("network", "size", "ext", "name") if name in table.column_names]


def _weigh(file: ArchiveFile, table: Table, group: int, batch: pa.RecordBatch) -> tuple[Ints, Ints, Floats]:
    """Bytes of keys, raw bytes and CPU seconds of each row. Each has its share by size of a row group's stored bytes;
    where the table has no sizes, all have the mean."""
    keys = np.full(len(batch), ROW_BYTES, np.int64)
    for name in ("ext", "name"):
        if name in table.column_names:
            keys += _numbers(pc.binary_length(batch.column(name)))
    said = file.metadata.row_group(group)
    content = said.column(file.schema_arrow.get_field_index("content"))
    if "size" in table.column_names:
        raw = _numbers(batch.column("size"))
    else:
        raw = np.full(len(batch), content.total_uncompressed_size // max(said.num_rows, 1), np.int64)
    stored = raw * (content.total_compressed_size / max(content.total_uncompressed_size, 1))
    return keys, raw, compaction_s(np.ones(len(batch)), raw.astype(np.float64), stored)


def _sums(places: Ints, values: npt.NDArray[Number], count: int) -> npt.NDArray[Number]:
    """Sums of values by place."""
    sums = np.zeros(count, values.dtype)
    np.add.at(sums, places, values)
    return sums


def _numbers(values: pa.Array) -> Ints:
    return np.asarray(pc.fill_null(values, 0).to_numpy(zero_copy_only=False), np.int64)


@dataclass(slots=True)
class _Within:
    """Networks too large for one piece: weights by name, each cut where it exceeds the bounds; starts of their ids.

    A name may stand for those up to the next one, too. If one of these comes again, it is apart from then on.
    """

    bounds: Bounds
    most: int
    names: dict[tuple[int, str, str], list[Weighed]] = field(default_factory=dict)
    ids: list[npt.NDArray[np.uint64]] = field(default_factory=list)

    def read(self, storage: Storage, table: Table, files: Sequence[Source], giants: Collection[int]) -> None:
        for number, positions, group, file, batch in _of_networks(storage, files, [*_columns(table), "oid"], giants):
            keys, raw, seconds = _weigh(file, table, group, batch)
            self.ids.append(_starts(batch.column("oid")))
            texts = {name: batch.column(name) for name in ("ext", "name") if name in table.column_names}
            columns: dict[str, pa.Array] = {name: shortened(text) for name, text in texts.items()}
            columns |= {
                "network": batch.column("network"),
                "keys": pa.array(keys),
                "raw": pa.array(raw),
                "seconds": pa.array(seconds),
            }
            rows = pa.table({**columns, "pos": pa.array(positions)})
            sums = rows.group_by(["network", *texts], use_threads=False).aggregate(
                [("keys", "sum"), ("raw", "sum"), ("seconds", "sum"), ("pos", "min")]
            )
            for row in sums.to_pylist():
                self._add(number, row)
            if len(self.names) > self.most:
                self._sum_up()

    def _sum_up(self) -> None:
        """Sum up small neighbours: anybody may archive millions of names."""
        small = Bounds(self.bounds.key_bytes // SMALL, self.bounds.raw_bytes // SMALL, self.bounds.seconds / SMALL)
        kept: dict[tuple[int, str, str], list[Weighed]] = {}
        last: list[Weighed] = []
        for name in sorted(self.names):
            found = self.names[name]
            if len(last) == len(found) == 1 and last[0].low.network == name[0]:
                both = _together(last[0], found[0])
                if not _exceed(both, small):
                    last[0] = both
                    continue
            kept[name] = last = found
        self.names, self.most = kept, max(self.most, 2 * len(kept))

    def _add(self, number: int, row: Mapping[str, int | float | str]) -> None:
        name = int(row["network"]), str(row.get("ext", "")), str(row.get("name", ""))
        low = Key(*name, number, int(row["pos_min"]))
        rows = Weighed(low, int(row["keys_sum"]), int(row["raw_sum"]), float(row["seconds_sum"]))
        found = self.names.setdefault(name, [])
        if not found:
            found.append(replace(rows, low=Key(*name)))
        elif _exceed(both := _together(found[-1], rows), self.bounds):
            found.append(rows)
        else:
            found[-1] = both

    def parts(self) -> dict[int, list[Weighed]]:
        """The parts of each network, in order."""
        found: dict[int, list[Weighed]] = {}
        for name in sorted(self.names):
            found.setdefault(name[0], []).extend(self.names[name])
        return found


def _together(first: Weighed, then: Weighed) -> Weighed:
    """Rows and those that follow."""
    keys, raw = first.key_bytes + then.key_bytes, first.raw_bytes + then.raw_bytes
    return Weighed(first.low, keys, raw, first.seconds + then.seconds)


def _exceed(rows: Weighed, bounds: Bounds) -> bool:
    return exceeds(rows.key_bytes, rows.raw_bytes, rows.seconds, bounds)


def _in_order(survey: _Survey, within: _Within, giants: Collection[int]) -> Iterator[Weighed]:
    parts = within.parts()
    for network, keys, raw, seconds in survey.weights():
        if network in giants:
            first, *others = parts[network]
            yield replace(first, low=Key(network))
            yield from others
        else:
            yield Weighed(Key(network), keys, raw, seconds)


def _of_networks(
    storage: Storage, files: Sequence[Source], columns: Sequence[str], networks: Collection[int]
) -> Iterator[tuple[int, Ints, int, ArchiveFile, pa.RecordBatch]]:
    """Live rows of some networks: number of the file, positions in it, row group, file, rows."""
    wanted = np.array(sorted(networks), np.int64)
    for source in files:
        if source.groups == ():
            continue
        with open_data_file(storage, source.uri) as file:
            gone = deleted(storage, source)
            for group, begin, batch in batches(file, source, columns, BATCH_ROWS):
                mine = np.isin(batch.column("network").to_numpy(), wanted) & ~among(gone, begin, len(batch))
                if mine.any():
                    yield source.number, np.flatnonzero(mine) + begin, group, file, batch.filter(pa.array(mine))


def _starts(oids: pa.Array) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each id."""
    whole = np.frombuffer(b"".join(oids.to_pylist()), np.uint8).reshape(len(oids), -1)
    return np.ascontiguousarray(whole[:, :8]).view(_OID_START).ravel()


def _doubles(
    storage: Storage, table: Table, files: Sequence[Source], survey: _Survey, within: _Within
) -> tuple[dict[int, Positions], dict[int, Positions]]:
    """Of networks that are cut: positions, by file, of all but the first row of each object, and of first rows that are
    at HEAD because a later one is."""
    starts = np.sort(np.concatenate(within.ids))
    within.ids.clear()
    suspect = np.unique(starts[1:][starts[1:] == starts[:-1]])
    if not len(suspect):
        return {}, {}
    giants = {name[0] for name in within.names}
    found: list[pa.Table] = []
    chosen = [survey.only(source, giants) for source in files]
    for number, positions, _, _, batch in _of_networks(storage, chosen, ["network", "oid", "at_head"], giants):
        mask = np.isin(_starts(batch.column("oid")), suspect)
        rows = pa.Table.from_batches([batch.filter(pa.array(mask))]).cast(
            pa.schema({"network": pa.int64(), "oid": pa.binary(), "at_head": pa.bool_()})
        )
        at = {"file": pa.array(np.full(len(rows), number)), "pos": pa.array(positions[mask])}
        found.append(rows.append_column("file", at["file"]).append_column("pos", at["pos"]))
    rows = pa.concat_tables(found).combine_chunks()
    rows = rows.append_column("row", pa.array(np.arange(len(rows))))
    kept = rows.group_by(["network", "oid"], use_threads=False).aggregate([("row", "min"), ("at_head", "max")])
    first = kept["row_min"].to_numpy()
    later = np.ones(len(rows), bool)
    later[first] = False
    heads = np.asarray(kept["at_head_max"].to_numpy(zero_copy_only=False), bool)
    were = np.asarray(rows["at_head"].to_numpy(zero_copy_only=False), bool)[first]
    return _by_file(rows, np.flatnonzero(later)), _by_file(rows, first[heads & ~were])


def _by_file(rows: pa.Table, chosen: Ints) -> dict[int, Positions]:
    numbers, positions = rows["file"].to_numpy()[chosen], rows["pos"].to_numpy()[chosen]
    return {int(number): np.sort(positions[numbers == number]) for number in np.unique(numbers)}


def _piece(
    survey: _Survey,
    files: Sequence[Source],
    rows: KeyRange,
    doubled: Mapping[int, Positions],
    raised: Mapping[int, Positions],
) -> Piece:
    mine = tuple(source for source in (survey.touching(each, rows) for each in files) if source.groups)
    numbers = {source.number for source in mine}
    return Piece(
        rows,
        mine,
        {number: found for number, found in doubled.items() if number in numbers},
        {number: found for number, found in raised.items() if number in numbers},
    )
