"""The plan of one bucket, as a fetch task reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from pipeline.fetch.planned_refs import BATCH_ROWS, NESTED
from pipeline.model.layout import Load
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import ArchiveFile, open_parquet_file


@dataclass(frozen=True, slots=True)
class PlannedOrigin:
    """An origin of a network with a due visit. ``first_visit``: unless it has refs, no visit has ended well yet."""

    url: str
    fork_of: str | None
    network: int
    due: bool
    first_visit: bool


_ORIGIN = list(PlannedOrigin.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """What a fetch task needs to know of the archive.

    Attributes:
        files: paths of the files that ``PlannedFiles`` reads.
        tombstones: ids by network, None for any network.
        refs: paths of the files that ``PlannedRefs`` reads.
    """

    bucket: int
    origins: tuple[PlannedOrigin, ...]
    files: tuple[str, ...] = ()
    tombstones: Mapping[int | None, frozenset[bytes]] = field(default_factory=dict)
    refs: tuple[str, ...] = ()

    def taken_down(self, network: int) -> frozenset[bytes]:
        """Ids of objects that must not come back into a network."""
        return self.tombstones.get(network, frozenset()) | self.tombstones.get(None, frozenset())

    def without(self, ended: Collection[str]) -> BucketPlan:
        """The plan, with these origins no longer due: their refs are still common ground."""
        rest = (replace(origin, due=origin.due and origin.url not in ended) for origin in self.origins)
        return replace(self, origins=tuple(rest))

    def networks(self) -> Iterator[tuple[int, list[PlannedOrigin]]]:
        """Networks with their origins, the fork root first: forks then only send their own objects."""
        ordered = sorted(self.origins, key=lambda o: (o.network, o.fork_of is not None, o.url))
        for network, origins in groupby(ordered, key=lambda o: o.network):
            yield network, list(origins)


def read_bucket_plan(storage: Storage, load: Load, bucket: int) -> BucketPlan:
    """Read what the plan step wrote for one bucket; of its refs and data files, only the paths.

    Raises:
        StorageError: the plan cannot be read.
    """
    origins: list[PlannedOrigin] = []
    refs = list(refs_files(storage, load, bucket))
    for path in _parquet_files(storage, f"{load.plan_origins}/bucket={bucket}"):
        with open_parquet_file(storage, path) as file:
            origins += [PlannedOrigin(**row) for row in _rows(file, _ORIGIN)]
            if NESTED in file.schema_arrow.names:
                refs.append(path)
    files = _parquet_files(storage, f"{load.plan_files}/bucket={bucket}")
    tombstones: dict[int | None, set[bytes]] = {}
    for path in _parquet_files(storage, f"{load.plan_tombstones}/bucket={bucket}"):
        with open_parquet_file(storage, path) as file:
            for row in _rows(file, ["network", "oid"]):
                tombstones.setdefault(row["network"], set()).add(row["oid"])
    taken_down = {network: frozenset(oids) for network, oids in tombstones.items()}
    return BucketPlan(bucket, tuple(origins), tuple(files), taken_down, tuple(refs))


def refs_files(storage: Storage, load: Load, bucket: int) -> tuple[str, ...]:
    """Paths of the files with a bucket's refs, except in plans of earlier versions."""
    return tuple(_parquet_files(storage, f"{load.plan_refs}/bucket={bucket}"))


def read_share(storage: Storage, load: Load, bucket: int, part: int, parts: int) -> Iterator[PlannedOrigin]:
    """The origins of one of ``parts`` equal parts of a bucket's plan, due or not; reads only their row groups.

    Plan sorts them by network and URL, so a part is a range of them.

    Raises:
        StorageError: the plan cannot be read.
    """
    paths, at = sorted(_parquet_files(storage, f"{load.plan_origins}/bucket={bucket}")), 0
    total = sum(_count(storage, path) for path in paths)
    first, end = total * part // parts, total * (part + 1) // parts
    for path in paths:
        with open_parquet_file(storage, path) as file:
            for group in range(file.num_row_groups):
                begins, at = at, at + file.metadata.row_group(group).num_rows
                if begins < end and at > first:
                    rows = file.read_row_group(group, columns=_ORIGIN)
                    mine = rows.slice(max(first - begins, 0), min(end, at) - max(first, begins))
                    yield from (PlannedOrigin(**row) for row in mine.to_pylist())


def _count(storage: Storage, path: str) -> int:
    with open_parquet_file(storage, path) as file:
        return int(file.metadata.num_rows)


def _parquet_files(storage: Storage, folder: str) -> list[str]:
    return [entry.path for entry in storage.list(folder) if entry.path.endswith(".parquet")]


def _rows(file: ArchiveFile, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        yield from batch.to_pylist()
