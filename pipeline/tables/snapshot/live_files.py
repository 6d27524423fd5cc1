"""The data files of a snapshot, and the rows of theirs that it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.storage.bytes import read_checked
from pipeline.storage.errors import FileMissing, StorageError, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.uris import path_below_root
from pipeline.tables.snapshot.avro import AvroDamaged, read_avro
from pipeline.tables.snapshot.deletion_vectors import Positions, read_positions

_THREADS = 8
_DELETED = 2
"""Status of a manifest's entry whose file is deleted."""

_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of a snapshot.

    Attributes:
        path: path below the archive's root.
        bucket: its partition; None in a table without partitions.
        first_row_id: Iceberg's number of its first row, None if it has none.
        deleted: sorted positions of rows that the snapshot lacks.
        row_groups: how many it has; None if the metadata do not say.
    """

    path: str
    bucket: int | None = None
    first_row_id: int | None = None
    deleted: Positions = field(default_factory=lambda: _NOTHING)
    row_groups: int | None = None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A data file, or one with a deletion vector, as the manifests list it. ``rows`` of the latter are deleted ones.

    ``path`` is below the archive's root; ``bucket`` is None in a table without partitions.
    """

    path: str
    bucket: int | None
    deletes: bool
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Vector:
    """Where the deletion vector of a data file is."""

    of: str
    path: str
    offset: int
    length: int


def live_files(storage: Storage, manifest_list: str, bucket: int | None = None) -> list[DataFile]:
    """The data files of a snapshot, in the order of its manifests.

    Manifests of other buckets are not opened.

    Args:
        manifest_list: its URI.
        bucket: only the files of this partition; None for all.

    Raises:
        StoredFileDamaged: a file of the metadata or a deletion vector is damaged or gone.
        StorageError: a file is outside the archive, or the snapshot has what nothing here writes: deletes other than
            deletion vectors, two of these for one file, or, if a bucket is wanted, files that belong to none.
    """
    wanted = [row for row in _records(storage, manifest_list) if _may_hold(row, bucket)]
    with ThreadPoolExecutor(_THREADS) as pool:
        read = list(pool.map(lambda row: list(_entries(storage, row, bucket)), wanted))
    found = [entry for entries in read for entry in entries]
    files = [entry for entry in found if isinstance(entry, DataFile)]
    vectors: dict[str, _Vector] = {}
    for entry in found:
        if isinstance(entry, _Vector) and vectors.setdefault(entry.of, entry) is not entry:
            raise StorageError(entry.of, f"it has two deletion vectors, in {vectors[entry.of].path} and {entry.path}")
    return [_without(storage, file, vectors.get(file.path)) for file in files]


def listed_files(storage: Storage, manifest_list: str) -> Iterator[ListedFile]:
    """The files of a snapshot, one manifest at a time; none of them is opened.

    Raises:
        StoredFileDamaged: a file of the metadata is damaged or gone.
    """
    for manifest in _records(storage, manifest_list):
        for row in _records(storage, manifest["manifest_path"]):
            found = row["data_file"]
            if row["status"] != _DELETED:
                yield ListedFile(
                    path_below_root(storage, found["file_path"]),
                    found["partition"].get("bucket"),
                    bool(found.get("content")),
                    found["record_count"],
                    found["file_size_in_bytes"],
                )


def _without(storage: Storage, file: DataFile, vector: _Vector | None) -> DataFile:
    if vector is None:
        return file
    try:
        deleted = read_positions(storage, vector.path, vector.offset, vector.length)
    except FileMissing as error:
        raise StoredFileDamaged(vector.path, "the file is gone") from error
    return replace(file, deleted=deleted)


def _may_hold(manifest: Mapping[str, Any], bucket: int | None) -> bool:
    """Whether a manifest may name files of a bucket, by the bounds of its partitions."""
    if manifest.get("partition_spec_id"):  # not the one with which the table was created
        return True
    bounds = manifest.get("partitions") or []
    if bucket is None or len(bounds) != 1 or bounds[0]["lower_bound"] is None or bounds[0]["upper_bound"] is None:
        return True
    low, high = (int.from_bytes(bounds[0][side], "little", signed=True) for side in ("lower_bound", "upper_bound"))
    return low <= bucket <= high


def _entries(storage: Storage, manifest: Mapping[str, Any], bucket: int | None) -> Iterator[DataFile | _Vector]:
    """The live files of a manifest. Files without a first row id get theirs from the manifest, in order."""
    next_row_id: int | None = manifest.get("first_row_id")
    for row in _records(storage, manifest["manifest_path"]):
        if row["status"] == _DELETED:
            continue
        found = row["data_file"]
        if found.get("content"):
            if _in_bucket(storage, found, bucket):
                yield _vector(storage, found)
            continue
        first_row_id = found.get("first_row_id")
        if first_row_id is None and next_row_id is not None:
            first_row_id = next_row_id
            next_row_id += found["record_count"]
        if _in_bucket(storage, found, bucket):
            path, partition = path_below_root(storage, found["file_path"]), found["partition"]
            row_groups = len(found.get("split_offsets") or ()) or None
            yield DataFile(path, partition.get("bucket"), first_row_id, row_groups=row_groups)


def _in_bucket(storage: Storage, found: Mapping[str, Any], bucket: int | None) -> bool:
    if bucket is None:
        return True
    if found["partition"].get("bucket") is None:
        raise StorageError(
            path_below_root(storage, found["file_path"]), "it belongs to no bucket; rewrite the table's files"
        )
    return bool(found["partition"]["bucket"] == bucket)


def _vector(storage: Storage, found: Mapping[str, Any]) -> _Vector:
    of, offset, length = (
        found.get(name) for name in ("referenced_data_file", "content_offset", "content_size_in_bytes")
    )
    if str(found.get("file_format")).upper() != "PUFFIN" or of is None or offset is None or length is None:
        raise StorageError(
            path_below_root(storage, found["file_path"]),
            "it deletes rows in a way that only Spark reads; rewrite the table's files",
        )
    return _Vector(path_below_root(storage, of), path_below_root(storage, found["file_path"]), offset, length)


def _records(storage: Storage, uri: str) -> list[dict[str, Any]]:
    path = path_below_root(storage, uri)
    try:
        return read_avro(read_checked(storage, path))
    except AvroDamaged as error:
        raise StoredFileDamaged(path, str(error)) from error
