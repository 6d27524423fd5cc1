"""The files that a load landed: where they are now, and where they belong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import CheckFailed
from pipeline.model.layout import Load, table_data
from pipeline.model.manifest import LandedFile, Manifest
from pipeline.model.tables import BY_NAME, LANDED
from pipeline.storage.errors import AlreadyThere, FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file

_THREADS = 16


class BadLanding(CheckFailed):
    """A landed file is not what its manifest says."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.problem}. Nothing was published; delete the manifest of its bucket and run the load "
            "again, so that the bucket is fetched anew"
        )


@dataclass(frozen=True, slots=True)
class MovingFile:
    """A landed file and its final place; ``path`` is where it lies at the moment."""

    landed: LandedFile
    bucket: int
    final: str
    path: str

    @property
    def table(self) -> str:
        """The table that it belongs to."""
        return self.landed.table


def locate(storage: Storage, load: Load, manifests: Sequence[Manifest]) -> list[MovingFile]:
    """Find every file of the manifests that has rows, in the landing or where an earlier attempt moved it to.

    Raises:
        BadLanding: a file is in neither place, or has another size, number of rows or schema than it must have.
    """
    wanted = [(manifest, file) for manifest in manifests for file in manifest.files if file.rows]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda pair: _locate(storage, load, *pair), wanted))


def final_path(load: Load, manifest: Manifest, file: LandedFile) -> str:
    """Where Publish moves a file: its run's name keeps attempts apart, its own name the files of a run."""
    name = file.path.rpartition("/")[2]
    return f"{table_data(file.table, load.name)}/bucket={manifest.bucket}/{manifest.run_id}-{name}"


def digest(files: Sequence[MovingFile]) -> str:
    """Names what a load consists of, to tell that an earlier attempt published the same."""
    lines = sorted((f.table, f.final, f.landed.rows, f.landed.size_bytes, f.landed.sha256) for f in files)
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def move(storage: Storage, files: Sequence[MovingFile]) -> None:
    """Move files to their final places; those that are there stay."""
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


def _locate(storage: Storage, load: Load, manifest: Manifest, file: LandedFile) -> MovingFile:
    if file.table not in {table.name for table in LANDED}:
        raise BadLanding(file.path, f"fetch tasks do not write the table {file.table}")
    folder = load.landing(manifest.bucket, manifest.run_id)
    if manifest.load != load.name or not file.path.startswith(f"{folder}/"):
        raise BadLanding(file.path, f"it does not belong to {folder}")
    final = final_path(load, manifest, file)
    for path in (file.path, final):
        entry = storage.stat(path)
        if entry is not None:
            if entry.size_bytes != file.size_bytes:
                raise BadLanding(path, f"{entry.size_bytes} bytes instead of {file.size_bytes}")
            _check_footer(storage, path, file)
            return MovingFile(file, manifest.bucket, final, path)
    raise BadLanding(file.path, "the file is missing")


def _check_footer(storage: Storage, path: str, file: LandedFile) -> None:
    try:
        with open_parquet_file(storage, path) as parquet:
            rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
    except StoredFileDamaged as error:
        raise BadLanding(path, error.problem) from error
    if rows != file.rows:
        raise BadLanding(path, f"{rows} rows instead of {file.rows}")
    expected = BY_NAME[file.table].arrow_schema
    if not schema.equals(expected, check_metadata=False):
        raise BadLanding(path, f"its columns are not those of {file.table}: {', '.join(schema.names)}")
