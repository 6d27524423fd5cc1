"""Commits that name the snapshot that they are based on, and are repeated if another writer was faster.

Code whose rows depend on what it read looks first (``see``), reads the table as of that snapshot, and commits
(``overwrite``) on the condition that nothing has changed since in the part that it replaces. If something has, Iceberg
refuses the commit, whoever the other writer is, and ``until_committed`` looks, reads and builds again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.errors import PipelineError
from pipeline.model.tables import NAMESPACE
from pipeline.tables.commit_lock import one_at_a_time
from pipeline.tables.iceberg import IcebergTable, JavaObject, StagedOnAnother
from pipeline.tables.session import CATALOG, WAREHOUSE_SETTING

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 20
LONGEST_PAUSE_S = 2.0

_EXCEPTIONS = "org.apache.iceberg.exceptions."
_CONFLICTS = {"CommitFailedException", "ValidationException", "AlreadyExistsException"}


class TableBusy(PipelineError):
    """Others changed a table each time that we were about to write it."""

    retryable = True

    def __init__(self, table: str, attempts: int, problem: str) -> None:
        super().__init__(table, attempts, problem)
        self.table, self.attempts, self.problem = table, attempts, problem

    def __str__(self) -> str:
        return (
            f"{self.table} was changed by others each of the {self.attempts} times that this run tried to write it; "
            f"nothing was lost, and this change was not made. Run it again. The last refusal: {self.problem}"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A table and the snapshot that was current when we looked; None if the table never had one."""

    spark: SparkSession
    iceberg: IcebergTable
    snapshot: int | None

    @property
    def name(self) -> str:
        """The table's full name."""
        return self.iceberg.name

    def rows(self) -> DataFrame:
        """The table as of the snapshot, whatever was committed later."""
        if self.snapshot is None:
            return self.spark.table(self.name)
        return self.spark.read.option("versionAsOf", self.snapshot).table(self.name)


def see(spark: SparkSession, table: str, namespace: str = NAMESPACE) -> Seen:
    """Look at the newest state of a table, to read it; use ``Writer.see`` to replace rows."""
    return seen_now(spark, IcebergTable(spark, table, namespace))


def seen_now(spark: SparkSession, iceberg: IcebergTable) -> Seen:
    """A table that was just opened, in its newest state."""
    current = iceberg.current()
    return Seen(spark, iceberg, None if current is None else current.id)


def nothing() -> Column:
    """The condition with which ``overwrite`` only adds rows."""
    return F.lit(False)


def overwrite(df: DataFrame, seen: Seen, condition: Column, properties: Mapping[str, str] | None = None) -> None:
    """Replace the rows that meet a condition with those of ``df``, in one commit, unless others changed any since.

    Unlike a dynamic overwrite, this also empties partitions for which ``df`` has no row.

    Args:
        seen: the state that ``df`` is based on.
        condition: on partition columns. ``nothing()`` only adds rows; then any row that others have added to the table
            since is a conflict.
        properties: kept in the snapshot's summary.

    Raises:
        Py4JJavaError: nothing was committed; ``is_conflict`` says whether other writers were the cause.
    """
    writer = df.writeTo(seen.name).option("isolation-level", "serializable")
    if seen.snapshot is not None:
        writer = writer.option("validate-from-snapshot-id", str(seen.snapshot))
    for key, value in (properties or {}).items():
        writer = writer.option(f"snapshot-property.{key}", value)
    with seen.iceberg.committing():
        writer.overwrite(condition)


@contextmanager
def creating(spark: SparkSession, namespace: str) -> Iterator[None]:
    """Create tables of a namespace inside, one process at a time if the storage needs it; see ``one_at_a_time``."""
    try:
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{namespace}")
    except Exception as error:
        if not is_conflict(error):  # another process has just created it
            raise
    with one_at_a_time(f"{spark.conf.get(WAREHOUSE_SETTING)}/{namespace}"):
        yield


def until_committed(name: str, attempt: Callable[[], T]) -> T:
    """Run an attempt, and repeat it from the start while it fails because others have written.

    Args:
        name: the name of the table, or of whatever is written.
        attempt: looks, reads and commits; may be called many times.

    Raises:
        TableBusy: others were faster every time.
    """
    problem = ""
    for turn in range(ATTEMPTS):
        if turn:
            time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.05 * 2**turn)))  # noqa: S311 - spreads writers out
        try:
            return attempt()
        except Exception as error:
            if not is_conflict(error):
                raise
            problem = _refusal(error)
            log.info("%s was changed by another writer; looking again", name)
    raise TableBusy(name, ATTEMPTS, problem)


def is_conflict(error: BaseException) -> bool:
    """Whether Iceberg refused a commit because of other writers' commits."""
    return isinstance(error, StagedOnAnother) or any(_is_refusal(cause) for cause in _causes(error))


def _refusal(error: BaseException) -> str:
    if isinstance(error, StagedOnAnother):
        return str(error)
    refusal = next(cause for cause in _causes(error) if _is_refusal(cause))
    return str(refusal.getMessage()).partition("\n")[0][:300]


def _is_refusal(cause: JavaObject) -> bool:
    name = str(cause.getClass().getName())
    return name.startswith(_EXCEPTIONS) and name.removeprefix(_EXCEPTIONS) in _CONFLICTS


def _causes(error: BaseException) -> Iterator[JavaObject]:
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while java is not None:
        yield java
        java = java.getCause()
