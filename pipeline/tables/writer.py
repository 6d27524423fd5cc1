"""The right to change an archive's tables: every commit goes through a writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pyspark.sql import SparkSession

from pipeline.model.tables import NAMESPACE
from pipeline.tables.conflicts import Seen, seen_now
from pipeline.tables.iceberg import IcebergTable

TableT = TypeVar("TableT", bound=IcebergTable)


@dataclass(frozen=True, slots=True)
class Writer:
    """Opens tables for writing. Each commit to such a table first checks the lease.

    A table that was opened in any other way refuses to commit, so no commit can skip the check.

    Attributes:
        spark: the session of the archive.
        check_lease: raises ``LeaseLost`` if this run may no longer write; call it before other changes to the archive,
            such as deleting a file.
    """

    spark: SparkSession
    check_lease: Callable[[], None]

    def open(self, kind: type[TableT], table: str, namespace: str = NAMESPACE) -> TableT:
        """A table of the archive, with the operations of its kind."""
        return kind(self.spark, table, namespace, self.check_lease)

    def table(self, table: str, namespace: str = NAMESPACE) -> IcebergTable:
        """A table of the archive."""
        return self.open(IcebergTable, table, namespace)

    def see(self, table: str, namespace: str = NAMESPACE) -> Seen:
        """Look at the newest state of a table, to replace rows of it; see ``overwrite``."""
        return seen_now(self.spark, self.table(table, namespace))


def unleased(spark: SparkSession) -> Writer:
    """A writer for what may change while another run holds the archive: origins, opt-outs, takedowns, results."""
    return Writer(spark, lambda: None)
