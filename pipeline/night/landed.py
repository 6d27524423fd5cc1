"""The files that a load landed: their current and their final places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from pipeline.model.errors import PipelineError
from pipeline.model.layout import Load, table_data
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.tables import BY_NAME, LANDED, REFS, VISITS
from pipeline.model.verdict import PublishedBucket
from pipeline.night.finding import Finding
from pipeline.storage.errors import AlreadyThere, FileMissing, StoredFileDamaged
from pipeline.storage.interface import Entry, Storage
from pipeline.storage.parquet import open_parquet_file

_THREADS = 16
_BATCH_ROWS = 4096
_READ_WHOLE = (REFS.name, VISITS.name)
"""Small tables that decide the states of origins: every page of them is checked before anything is published."""

_LATER = {VISITS.name: ("newest_commit", "commit_days")}
"""Columns that files lack which were landed before format 5; they are null there."""

Landed = Manifest | PublishedBucket
"""The files of one attempt on one bucket."""


class _Unfit(Exception):
    """A landed file does not match its manifest."""


@dataclass(frozen=True, slots=True)
class MovingFile:
    """A landed file and its final place; ``path`` is where it is now."""

    landed: LandedFile
    bucket: int
    final: str
    path: str

    @property
    def table(self) -> str:
        """The table that it belongs to."""
        return self.landed.table


def locate(storage: Storage, load: Load, landed: Sequence[Landed]) -> tuple[list[MovingFile], list[Finding]]:
    """Find every file that has rows, in the landing or where an earlier attempt moved it.

    A file that is in neither place, or has the wrong size, number of rows or schema, is a finding about its bucket.
    """
    wanted = [(bucket, file) for bucket in landed for file in bucket.files if file.rows]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda pair: _located(storage, load, *pair), wanted))
    files = [file for file in found if isinstance(file, MovingFile)]
    return files, [finding for finding in found if isinstance(finding, Finding)]


def find(storage: Storage, load: Load, landed: Landed, file: LandedFile) -> Entry | None:
    """A file in the landing or where an earlier attempt moved it; None if it is in neither place."""
    return storage.stat(file.path) or storage.stat(final_path(load, landed, file))


def final_path(load: Load, landed: Landed, file: LandedFile) -> str:
    """Where Publish moves a file: the run's name separates attempts, its own name the files of a run."""
    name = file.path.rpartition("/")[2]
    return f"{table_data(file.table, load.name)}/bucket={landed.bucket}/{landed.attempt}-{name}"


def digest(files: Sequence[MovingFile]) -> str:
    """A digest of a load's files, kept in the commit for people who compare."""
    lines = sorted((f.table, f.final, f.landed.rows, f.landed.size_bytes, f.landed.sha256) for f in files)
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def move(storage: Storage, files: Sequence[MovingFile]) -> None:
    """Move files to their final places; files that are already there stay."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda file: _move(storage, file), files))


def _move(storage: Storage, file: MovingFile) -> None:
    if file.path == file.final:
        return
    try:
        storage.rename(file.path, file.final)
    except (AlreadyThere, FileMissing):
        # A retried rename whose first answer was lost: the file is where it belongs.
        if storage.stat(file.path) is not None or storage.stat(file.final) is None:
            raise


def _located(storage: Storage, load: Load, landed: Landed, file: LandedFile) -> MovingFile | Finding:
    try:
        return _locate(storage, load, landed, file)
    except _Unfit as error:
        return Finding(landed.bucket, None, f"{file.path}: {error}")
    except PipelineError as error:
        if error.retryable:
            raise
        return Finding(landed.bucket, None, str(error))


def _locate(storage: Storage, load: Load, landed: Landed, file: LandedFile) -> MovingFile:
    if file.table not in {table.name for table in LANDED}:
        raise _Unfit(f"fetch tasks do not write the table {file.table}")
    folder = load.landing(landed.bucket, landed.attempt)
    if not file.path.startswith(f"{folder}/"):
        raise _Unfit(f"it does not belong to {folder}")
    entry = find(storage, load, landed, file)
    if entry is None:
        raise _Unfit("the file is missing")
    if entry.size_bytes != file.size_bytes:
        raise _Unfit(f"{entry.size_bytes} bytes instead of {file.size_bytes}")
    _check(storage, entry.path, file)
    return MovingFile(file, landed.bucket, final_path(load, landed, file), entry.path)


def _check(storage: Storage, path: str, file: LandedFile) -> None:
    try:
        with open_parquet_file(storage, path) as parquet:
            rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
            if file.table in _READ_WHOLE:
                for _ in parquet.iter_batches(_BATCH_ROWS):
                    pass
    except StoredFileDamaged as error:
        raise _Unfit(error.problem) from error
    if rows != file.rows:
        raise _Unfit(f"{rows} rows instead of {file.rows}")
    if not any(schema.equals(known, check_metadata=False) for known in _schemas(file.table)):
        raise _Unfit(f"its columns are not those of {file.table}: {', '.join(schema.names)}"[:300])


def _schemas(table: str) -> tuple[pa.Schema, pa.Schema]:
    """Those of files that are landed now, and of those that were landed by an earlier version."""
    now = BY_NAME[table].arrow_schema
    return now, pa.schema([field for field in now if field.name not in _LATER.get(table, ())])
