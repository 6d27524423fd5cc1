"""Result tables of jobs, with the lineage of each night's rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from uuid import uuid4

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField

from pipeline.model.errors import UsageError
from pipeline.model.layout import result_path
from pipeline.model.tables import TIME
from pipeline.read.inventory.record import keep_record, record_document
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import creating, is_conflict, overwrite, until_committed
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import IcebergTable, Snapshot, full_name, table_exists
from pipeline.tables.writer import unleased

NAMESPACE = "results"
RUNS = "runs"

_NIGHT, _ATTEMPT = "pipeline.night", "pipeline.attempt"
"""Properties of a result's commit: its night, and a unique name."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_RUNS_SCHEMA = pa.schema(
    [
        ("job", pa.string()),
        ("night", pa.date32()),
        ("version", pa.string()),
        ("arguments", pa.list_(pa.string())),
        ("snapshots", pa.string()),
        ("finished_at", TIME),
        ("rows", pa.int64()),
        ("result_snapshot", pa.int64()),
    ]
)


class BadResult(UsageError):
    """The result cannot be stored under this name or with these columns."""

    def __init__(self, job: str, why: str) -> None:
        super().__init__(job, why)
        self.job, self.why = job, why

    def __str__(self) -> str:
        return f"the result of job {self.job!r} cannot be stored: {self.why}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origin of a night's rows of a result. ``snapshots`` are those of the tables read."""

    job: str
    version: str
    arguments: tuple[str, ...]
    night: date
    snapshots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """A stored result; ``snapshot`` is the result table's."""

    table: str
    rows: int
    snapshot: int


def write_result(spark: SparkSession, storage: Storage, lineage: Lineage, df: DataFrame) -> ResultSummary:
    """Store a job's result as ``archive.results.JOB``: its columns, and the night.

    The night's former rows are replaced in one commit that carries the lineage. New columns are added to the table;
    a column whose type changed is refused. The lineage is also written to ``archive.results.runs``, one row per job and
    night, and last to ``results/JOB/NIGHT.json``. Several runs may store results of one job and night at once: one of
    them wins, and both places describe it.

    Raises:
        BadResult: the name is not lower-case letters, digits and underscores, or is ``runs``; the result has its own
            column ``night``, or a column whose type changed.
    """
    job, night = lineage.job, lineage.night
    if not _NAME.fullmatch(job) or job == RUNS:
        raise BadResult(job, "its name must be lower-case letters, digits and underscores, and not 'runs'")
    if "night" in df.columns:
        raise BadResult(job, "'night' is added by the runner; rename the column")
    rows = df.withColumn("night", F.lit(night))
    attempt_id = uuid4().hex
    properties = {
        "pipeline.job": job,
        "pipeline.version": lineage.version,
        "pipeline.arguments": json.dumps(lineage.arguments),
        _NIGHT: night.isoformat(),
        "pipeline.snapshots": json.dumps(dict(lineage.snapshots)),
        _ATTEMPT: attempt_id,
    }

    def store() -> Snapshot:
        _make_room(spark, job, rows)
        seen = unleased(spark).see(job, NAMESPACE)
        overwrite(rows, seen, F.col("night") == F.lit(night), properties)
        return IcebergTable(spark, job, NAMESPACE).snapshots_with(_ATTEMPT, attempt_id)[-1]

    stored = until_committed(full_name(job, NAMESPACE), store)
    _record_standing(spark, storage, job, night)
    return _summary(job, stored)


def recorded_lineage(storage: Storage, job: str, night: date) -> Lineage | None:
    """The lineage of a stored result; None if there is none that can be read."""
    try:
        found = json.loads(storage.read(result_path(job, night)))
        return Lineage(found["job"], found["version"], tuple(found["arguments"]), night, found["snapshots"])
    except (FileMissing, ValueError, KeyError, TypeError):
        return None


def _summary(job: str, stored: Snapshot) -> ResultSummary:
    return ResultSummary(full_name(job, NAMESPACE), int(stored.summary.get("added-records", "0")), stored.id)


def _record_standing(spark: SparkSession, storage: Storage, job: str, night: date) -> None:
    """Record the lineage of the current result, until no other has replaced it meanwhile."""
    recorded = None
    while (stored := _standing(spark, job, night)) != recorded:
        lineage, summary = _lineage(stored), _summary(job, stored)
        _record(spark, lineage, summary)
        document = {**asdict(lineage), "night": night.isoformat(), **asdict(summary)}
        path = result_path(job, night)
        had_one = storage.stat(path) is not None
        storage.replace(path, json.dumps(document, indent=1).encode())
        if had_one:
            keep_record(storage, partial(record_document, path))
        recorded = stored


def _standing(spark: SparkSession, job: str, night: date) -> Snapshot:
    return IcebergTable(spark, job, NAMESPACE).snapshots_with(_NIGHT, night.isoformat())[-1]


def _lineage(stored: Snapshot) -> Lineage:
    """The lineage in a result's commit."""
    kept = stored.summary
    return Lineage(
        kept["pipeline.job"],
        kept["pipeline.version"],
        tuple(json.loads(kept["pipeline.arguments"])),
        date.fromisoformat(kept[_NIGHT]),
        json.loads(kept["pipeline.snapshots"]),
    )


def _make_room(spark: SparkSession, job: str, rows: DataFrame) -> None:
    """Create the table, or add the columns that it lacks."""
    if not table_exists(spark, job, NAMESPACE):
        _create(spark, job, rows, ("night",))
    elif _is_empty(spark, job):
        _drop_other_columns(spark, job, rows)
    known = _columns(spark, job)
    for field in rows.schema.toNullable():
        if field.name not in known:
            _add_column(spark, job, field)
        elif known[field.name] != field.dataType:
            was, now = known[field.name].simpleString(), field.dataType.simpleString()
            raise BadResult(job, f"column {field.name} was {was} and is now {now}; rename the job")


def _columns(spark: SparkSession, job: str) -> dict[str, DataType]:
    """Types, nullable at every depth, as Iceberg stores them."""
    name = IcebergTable(spark, job, NAMESPACE).name
    return {field.name: field.dataType for field in spark.table(name).schema.toNullable()}


def _is_empty(spark: SparkSession, job: str) -> bool:
    current = IcebergTable(spark, job, NAMESPACE).current()
    return current is None or current.summary.get("total-records") == "0"


def _drop_other_columns(spark: SparkSession, job: str, rows: DataFrame) -> None:
    """Drop what this run does not have: a first run that failed or was stopped has declared it and stored nothing."""
    iceberg = unleased(spark).table(job, NAMESPACE)
    wanted = {field.name: field.dataType for field in rows.schema.toNullable()}
    other = [name for name, type_ in _columns(spark, job).items() if wanted.get(name) != type_]
    if other:
        with iceberg.committing():
            spark.sql(f"ALTER TABLE {iceberg.name} DROP COLUMNS ({', '.join(f'`{name}`' for name in other)})")


def _add_column(spark: SparkSession, job: str, field: StructField) -> None:
    iceberg = unleased(spark).table(job, NAMESPACE)
    try:
        with iceberg.committing():
            spark.sql(f"ALTER TABLE {iceberg.name} ADD COLUMN `{field.name}` {field.dataType.simpleString()}")
    except Exception:
        if field.name not in _columns(spark, job):  # another run has just added it
            raise


def _record(spark: SparkSession, lineage: Lineage, summary: ResultSummary) -> None:
    row: Sequence[object] = (
        lineage.job,
        lineage.night,
        lineage.version,
        list(lineage.arguments),
        json.dumps(dict(lineage.snapshots)),
        datetime.now(UTC),
        summary.rows,
        summary.snapshot,
    )
    new = local_frame(spark, [row], _RUNS_SCHEMA)
    mine = (F.col("job") == lineage.job) & (F.col("night") == F.lit(lineage.night))

    def attempt() -> None:
        if not table_exists(spark, RUNS, NAMESPACE):
            _create(spark, RUNS, new, ("job", "night"))
        overwrite(new, unleased(spark).see(RUNS, NAMESPACE), mine)

    until_committed(full_name(RUNS, NAMESPACE), attempt)


def _create(spark: SparkSession, table: str, like: DataFrame, partitions: Sequence[str]) -> None:
    """Create an empty table for rows like these, unless another run creates it at the same time."""
    with creating(spark, NAMESPACE):
        if table_exists(spark, table, NAMESPACE):
            return
        writer = like.limit(0).writeTo(full_name(table, NAMESPACE)).using("iceberg")
        writer = writer.partitionedBy(*(F.col(name) for name in partitions)).tableProperty("format-version", "3")
        try:
            writer.create()
        except Exception as error:
            if not is_conflict(error) and not table_exists(spark, table, NAMESPACE):
                raise
