"""The plan of one bucket, as a fetch task reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pipeline.model.layout import Load
from pipeline.rules.negotiation import HEAD, Ref
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file


@dataclass(frozen=True, slots=True)
class PlannedOrigin:
    """An origin of a network with a visit due. ``refs`` are those of its last good visit; ids in 40 digits."""

    url: str
    fork_of: str | None
    network: int
    due: bool
    first_visit: bool
    refs: Mapping[bytes, Ref]
    peeled: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Everything a fetch task needs to know of the archive. ``tombstones`` are ids by network, None for any network."""

    bucket: int
    origins: tuple[PlannedOrigin, ...]
    files: Mapping[str, Sequence[str]]
    tombstones: Mapping[int | None, frozenset[bytes]] = field(default_factory=dict)

    def taken_down(self, network: int) -> frozenset[bytes]:
        """Ids of objects that must not come back into a network."""
        return self.tombstones.get(network, frozenset()) | self.tombstones.get(None, frozenset())

    def networks(self) -> Iterator[tuple[int, list[PlannedOrigin]]]:
        """Networks with their origins, the fork root first: forks then only send what is their own."""
        ordered = sorted(self.origins, key=lambda o: (o.network, o.fork_of is not None, o.url))
        for network, origins in groupby(ordered, key=lambda o: o.network):
            yield network, list(origins)


def offers_for(origin: PlannedOrigin, network: Sequence[PlannedOrigin]) -> Iterator[bytes]:
    """Ids to name as common ground: the origin's own HEAD and branches first, then the network's, tags last."""
    ranked = sorted(network, key=lambda other: (other.url != origin.url, other.fork_of is not None, other.url))
    for tags in (False, True):
        for other in ranked:
            if not tags and HEAD in other.refs:
                yield from _target(other.refs[HEAD])
            for name, ref in other.refs.items():
                if name != HEAD and name.startswith(b"refs/tags/") is tags:
                    yield from _target(ref)


def _target(ref: Ref) -> Iterator[bytes]:
    if ref.target is not None:
        yield ref.target


def read_bucket_plan(storage: Storage, load: Load, bucket: int) -> BucketPlan:
    """Read what the plan step wrote for one bucket.

    Raises:
        StorageError: the plan can not be read.
    """
    origins = []
    for row in _rows(storage, f"{load.plan_origins}/bucket={bucket}"):
        refs, peeled = {}, {}
        for r in row["refs"] or ():
            target = None if r["target"] is None else r["target"].hex().encode()
            refs[r["name"]] = Ref(target, r["symref"])
            if r["peeled"] is not None and r["target"] is not None:
                peeled[r["target"]] = r["peeled"]
        origins.append(
            PlannedOrigin(row["url"], row["fork_of"], row["network"], row["due"], row["first_visit"], refs, peeled)
        )
    files: dict[str, list[str]] = {}
    for row in _rows(storage, f"{load.plan_files}/bucket={bucket}"):
        files.setdefault(row["table"], []).append(relative_path(storage, row["uri"]))
    tombstones: dict[int | None, set[bytes]] = {}
    for row in _rows(storage, f"{load.plan_tombstones}/bucket={bucket}"):
        tombstones.setdefault(row["network"], set()).add(row["oid"])
    return BucketPlan(bucket, tuple(origins), files, {at: frozenset(oids) for at, oids in tombstones.items()})


def _rows(storage: Storage, folder: str) -> Iterator[dict]:  # type: ignore[type-arg]
    for entry in storage.list(folder):
        if entry.path.endswith(".parquet"):
            with open_parquet_file(storage, entry.path) as file:
                for batch in file.iter_batches(1024):
                    yield from batch.to_pylist()


def relative_path(storage: Storage, uri: str) -> str:
    """A data file's path below the archive's root, from the URI that Iceberg has for it.

    Raises:
        ValueError: it is not below the root.
    """
    path = storage.path_of(uri)
    if path is None:
        raise ValueError(f"{uri} is not below {storage.root_uri}")
    return path
