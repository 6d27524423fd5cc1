"""Results of jobs, read from their files in this process, without Spark."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from pipeline.model.errors import UsageError
from pipeline.model.layout import RESULTS, parse_night, result_path
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.tables.snapshot.columns import arrow_columns
from pipeline.tables.snapshot.live_files import live_files
from pipeline.tables.snapshot.metadata import TableMetadata, read_metadata
from pipeline.tables.snapshot.rows import ROW_ID, rows

NIGHT = "night"
SEQUENCE = "_last_updated_sequence_number"
"""A column of files whose rows Iceberg has moved."""


class NoSuchResult(UsageError):
    """A job has no such result."""

    def __init__(self, job: str, night: date | None, known: tuple[date, ...]) -> None:
        super().__init__(job, night, known)
        self.job, self.night, self.known = job, night, known

    def __str__(self) -> str:
        if not self.known:
            return f"{self.job} has no result; `pipeline results list` shows all that there are"
        return f"{self.job} has no result for {self.night}; it has some for {', '.join(map(str, self.known[-10:]))}"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result and where it came from. ``snapshots`` are those of the tables read."""

    job: str
    night: date
    rows: int
    version: str
    arguments: tuple[str, ...]
    snapshots: dict[str, int]


def list_results(storage: Storage) -> list[StoredResult]:
    """All results, by job and night.

    Raises:
        StoredFileDamaged: a record of one cannot be read.
    """
    jobs = [entry.path.rpartition("/")[2] for entry in storage.list(RESULTS) if entry.is_dir]
    return [_read(storage, job, night) for job in sorted(jobs) for night in _nights(storage, job)]


def _nights(storage: Storage, job: str) -> list[date]:
    """The nights that a job has a result for, oldest first."""
    names = (entry.path.rpartition("/")[2] for entry in storage.list(f"{RESULTS}/{job}"))
    return sorted(night for name in names if (night := parse_night(name.removesuffix(".json"))) is not None)


def _read(storage: Storage, job: str, night: date) -> StoredResult:
    path = result_path(job, night)
    try:
        found = json.loads(storage.read(path))
        return StoredResult(
            found["job"], date.fromisoformat(found[NIGHT]), found["rows"], found["version"], tuple(found["arguments"]),
            found["snapshots"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise StoredFileDamaged(path, f"its content is invalid: {error!r}"[:300]) from error


def read_result(storage: Storage, job: str, night: date | None = None) -> tuple[StoredResult, pa.Table]:
    """A result with its rows, without the column ``night``.

    Args:
        night: None for the newest that the job has a result for.

    Raises:
        NoSuchResult: there is none.
        StoredFileDamaged: one of its files is damaged or gone.
    """
    known = _nights(storage, job)
    wanted = max(known, default=None) if night is None else night
    if wanted is None or wanted not in known:
        raise NoSuchResult(job, wanted, tuple(known))
    return _read(storage, job, wanted), _rows_of(storage, job, wanted)


def _rows_of(storage: Storage, job: str, night: date) -> pa.Table:
    metadata = read_metadata(storage, job, RESULTS)
    if metadata is None or metadata.current is None:
        return pa.table({})
    parts: list[pa.Table] = []
    for file in live_files(storage, metadata.lists[metadata.current]):
        with open_parquet_file(storage, file.path) as parquet:
            names = [name for name in parquet.schema_arrow.names if name not in (NIGHT, ROW_ID, SEQUENCE)]
        parts += [pa.Table.from_batches([batch]) for batch in rows(storage, file, names, {NIGHT: night})]
    return pa.concat_tables(parts, promote_options="default") if parts else _no_rows(metadata)


def _no_rows(metadata: TableMetadata) -> pa.Table:
    """The columns of a result without rows: those of all nights, as no file has its own."""
    try:
        columns = arrow_columns(metadata.schema)
    except (KeyError, TypeError, ValueError) as error:
        raise StoredFileDamaged(metadata.path, f"its schema is invalid: {error!r}"[:300]) from error
    return pa.schema([field for field in columns if field.name != NIGHT]).empty_table()


@dataclass(frozen=True, slots=True)
class Difference:
    """The rows that only one of two results has; a row that one has more often counts as often."""

    only_first: list[dict[str, Any]]
    only_second: list[dict[str, Any]]
    common: int


def difference(first: pa.Table, second: pa.Table) -> Difference:
    """Compare two results, whatever the order of their rows. Both are held in memory."""
    one, two = (Counter(map(_Row, table.to_pylist())) for table in (first, second))
    common = one & two
    return Difference(_rows(one - common), _rows(two - common), common.total())


class _Row:
    """A row that can be counted."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._text = repr(sorted(values.items(), key=lambda item: item[0]))

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Row) and self._text == other._text


def _rows(counted: Counter[_Row]) -> list[dict[str, Any]]:
    return [row.values for row in counted.elements()]
