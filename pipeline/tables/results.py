"""Result tables of jobs, with the lineage that tells how each night's rows came about."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import UsageError
from pipeline.model.tables import TIME
from pipeline.storage.interface import Storage
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import IcebergTable, full_name, replace_where, table_exists
from pipeline.tables.session import CATALOG

NAMESPACE = "results"
RUNS = "runs"

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
    """The result can not be stored under this name or with these columns."""

    def __init__(self, job: str, why: str) -> None:
        super().__init__(job, why)
        self.job, self.why = job, why

    def __str__(self) -> str:
        return f"the result of job {self.job!r} cannot be stored: {self.why}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """How a night's rows of a result came about. ``snapshots`` are those of the tables that were read."""

    job: str
    version: str
    arguments: tuple[str, ...]
    night: date
    snapshots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """A stored result; ``snapshot`` is that of the result table."""

    table: str
    rows: int
    snapshot: int


def result_path(job: str, night: date) -> str:
    """Marker and lineage of a finished job."""
    return f"results/{job}/{night.isoformat()}.json"


def write_result(spark: SparkSession, storage: Storage, lineage: Lineage, df: DataFrame) -> ResultSummary:
    """Store a job's result as ``archive.results.JOB``: its columns, and the night.

    The night's former rows are replaced in one commit that carries the lineage. New columns are added to the table;
    a column whose type changed is refused. The lineage also goes to ``archive.results.runs``, one row a job and night,
    and last to ``results/JOB/NIGHT.json``.

    Raises:
        BadResult: the name is not lower-case letters, digits and underscores, or is ``runs``; the result has a column
            ``night`` of its own, or one with another type than before.
    """
    job, night = lineage.job, lineage.night
    if not _NAME.fullmatch(job) or job == RUNS:
        raise BadResult(job, "its name must be lower-case letters, digits and underscores, and not 'runs'")
    if "night" in df.columns:
        raise BadResult(job, "'night' is added by the runner; name the column otherwise")
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{NAMESPACE}")
    name = full_name(job, NAMESPACE)
    rows = df.withColumn("night", F.lit(night))
    _make_room(spark, job, rows)
    properties = {
        "pipeline.job": job,
        "pipeline.version": lineage.version,
        "pipeline.arguments": json.dumps(lineage.arguments),
        "pipeline.night": night.isoformat(),
        "pipeline.snapshots": json.dumps(dict(lineage.snapshots)),
    }
    replace_where(rows, name, F.col("night") == F.lit(night), properties)
    stored = IcebergTable(spark, job, NAMESPACE).current()
    if stored is None:
        raise BadResult(job, "nothing was stored")
    summary = ResultSummary(name, int(stored.summary.get("added-records", "0")), stored.id)
    _record(spark, lineage, summary)
    document = {**asdict(lineage), "night": night.isoformat(), "snapshots": dict(lineage.snapshots), **asdict(summary)}
    storage.replace(result_path(job, night), json.dumps(document, indent=1).encode())
    return summary


def _make_room(spark: SparkSession, job: str, rows: DataFrame) -> None:
    """Create the table, or add the columns that it lacks."""
    name = full_name(job, NAMESPACE)
    if not table_exists(spark, job, NAMESPACE):
        empty = rows.limit(0)
        empty.writeTo(name).using("iceberg").partitionedBy(F.col("night")).tableProperty("format-version", "3").create()
        return
    known = {field.name: field.dataType for field in spark.table(name).schema}
    for field in rows.schema:
        if field.name not in known:
            spark.sql(f"ALTER TABLE {name} ADD COLUMN `{field.name}` {field.dataType.simpleString()}")
        elif known[field.name] != field.dataType:
            was, now = known[field.name].simpleString(), field.dataType.simpleString()
            raise BadResult(job, f"column {field.name} was {was} and is {now} now; give the job another name")


def _record(spark: SparkSession, lineage: Lineage, summary: ResultSummary) -> None:
    name = full_name(RUNS, NAMESPACE)
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
    if not table_exists(spark, RUNS, NAMESPACE):
        writer = new.writeTo(name).using("iceberg").partitionedBy(F.col("job"), F.col("night"))
        writer.tableProperty("format-version", "3").create()
        return
    replace_where(new, name, (F.col("job") == lineage.job) & (F.col("night") == F.lit(lineage.night)))
